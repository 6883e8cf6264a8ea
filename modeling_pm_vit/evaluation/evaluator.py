"""Runs metrics of explainers on the images of a dataset: in parts, by one process or several, resumable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm

from ..data.classes import ClassMap, model_class
from ..data.columns import Columns
from ..data.masks import NUMBERS_CLASSES, MaskEncoding, MaskFormat
from ..data.rows import DatasetRows, Rows, place_of
from ..explainers import EXPLAINERS, Explainer
from ..image_processing_pm_vit import PMViTImageProcessor
from ..metrics.classification import CLASSIFICATION
from ..metrics.metric import DEFAULTS, GridDesign, Metric, MetricOptions, Records
from ..metrics.per_class import PER_CLASS
from ..metrics.registry import METRICS, metric_names
from ..utils.errors import InputError
from ..utils.processes import processes
from ..utils.resuming import missing_parts
from .batch import Batch, read_batch
from .classifier import Classifier
from .explained import ClassifiedBatch, ExplainedBatch, grid_heatmaps
from .randomized_models import randomized_models
from .records import RecordStore

CLASSIFIER = "classifier"  # has the records of metrics that need no explainer


@dataclass(frozen=True)
class EvaluationPlan:
    """
    What to evaluate.

    Args:
        explainers: to evaluate, by name.
        metrics: names in `METRICS`, or "all"; the values of the classifier are always recorded: grids are chosen by
            them, and the report begins with them.
        max_samples: evaluate at most this number of images, drawn from the dataset at random.
        limits: for single metrics a smaller number of images, rounded up to whole batches; the first ones in the same
            order.
        options: of single metrics.
        batch_size: images in a part.
        seed: of the order of the images, the choice of the grids and the randomised parameters.

    Raises:
        InputError: if a metric is unknown, or has no use for a limit.
    """

    explainers: Mapping[str, Explainer]
    metrics: Sequence[str] = ("all",)
    max_samples: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    options: MetricOptions = DEFAULTS
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", metric_names(self.metrics))
        limits = {name: count for given, count in self.limits.items() for name in metric_names([given])}
        object.__setattr__(self, "limits", limits)
        for name in limits:
            if METRICS[name].grid or not METRICS[name].needs_explainer:
                raise InputError(f"the metric {name!r} takes no limit of images.")

    @property
    def recorded(self) -> dict[str, Metric]:
        """The metrics to record, by name."""
        return {name: METRICS[name] for name in dict.fromkeys((CLASSIFICATION.name, PER_CLASS.name, *self.metrics))}


class Evaluator:
    """
    Makes and keeps the records of explainers on the images of a dataset.

    Args:
        classifier: around a PM-ViT.
        processor: with a height and a width for `size` and no centre crop.
        rows: of a dataset, with the columns that `columns` names.
        masks: how its masks are read.
        columns: names.
        plan: what to evaluate.
        folder: of the records. Records of the same settings that exist already are not made again.
        settings: what else the records depend on and the caller knows (names and versions of model and data).
        class_map: from the dataset's classes to the model's, for labels and masks; `None` if they are the same.

    Raises:
        InputError: if the folder holds records of other settings.
    """

    def __init__(
        self,
        classifier: Classifier,
        processor: PMViTImageProcessor,
        rows: Rows | Dataset,
        masks: MaskFormat | MaskEncoding,
        columns: Columns,
        plan: EvaluationPlan,
        folder: Path,
        settings: Mapping[str, Any] = {},
        class_map: ClassMap | None = None,
    ):
        self.class_map = class_map
        self.classifier, self.processor = classifier, processor
        self.rows: Rows = DatasetRows(rows, "the dataset") if isinstance(rows, Dataset) else rows
        self.masks = MaskFormat.of(masks)
        self.columns, self.plan, self.settings = columns, plan, dict(settings)
        order = np.random.default_rng(plan.seed).permutation(len(self.rows))
        self.indices = order[: plan.max_samples]
        self.parts = math.ceil(len(self.indices) / plan.batch_size)
        self.process = processes(classifier.device.type)
        own = {
            "images": len(self.indices),
            "batch_size": plan.batch_size,
            "seed": plan.seed,
            "size": [processor.size["height"], processor.size["width"]],
            **self.masks.settings,
            "columns": [columns.image, columns.label, columns.mask, columns.boxes],
        }
        if class_map is not None and class_map.renumbers and self.masks.encoding in NUMBERS_CLASSES:
            own["class_ids"] = sha256(str(class_map.ids).encode()).hexdigest()[:16]
        self._grids: dict[tuple[str, int], np.ndarray] = {}
        with self.process.main_process_first():
            self.store = RecordStore(folder, own | self.settings)
            for metric in plan.recorded.values():
                options = {name: getattr(plan.options, name) for name in metric.options}
                self.store.keep({"limit": plan.limits.get(metric.name)} | options, metric.name)
                for explainer in self.explainers_of(metric):
                    chosen: Mapping[str, Any] = plan.explainers[explainer].settings if metric.needs_explainer else {}
                    self.store.keep(chosen, metric.name, explainer)

    def run(self) -> None:
        """Make the records that are missing. Several processes share them; all return when every record exists."""
        self._record_images()
        for metric in self.plan.recorded.values():
            if metric.grid:
                self._record_grids(metric, metric.grid)

    @property
    def recorded(self) -> dict[str, list[str]]:
        """The metrics that have complete records, of this call or earlier ones, with the explainers that have them."""
        explainers = [CLASSIFIER, *EXPLAINERS]
        found = {name: [e for e in explainers if self._is_complete(name, e)] for name in METRICS}
        return {name: complete for name, complete in found.items() if complete}

    def records(self, name: str, explainer: str = CLASSIFIER) -> Records | None:
        """All records of a metric and an explainer, of this call or an earlier one; None if there are none."""
        return self.store.read(name, explainer, self._parts_of(name, explainer))

    def explainers_of(self, metric: Metric) -> list[str]:
        """The names under which a metric of the plan has records."""
        return list(self.plan.explainers) if metric.needs_explainer else [CLASSIFIER]

    @property
    def not_evaluated(self) -> list[str]:
        """What the plan asks for and the images do not allow, one sentence each."""
        sentences = []
        for name, metric in self.plan.recorded.items():
            if metric.grid and 0 < len(self.grids(metric)) < self.plan.options.num_grids:
                sentences.append(f"{name}: {len(self.grids(metric))} grids; there are no images for more.")
            elif all(self.records(name, explainer) is None for explainer in self.explainers_of(metric)):
                sentences.append(f"{name}: not evaluated; it needs {metric.needs}.")
        return sentences

    def batch(self, places: Sequence[int] | np.ndarray) -> Batch:
        """The images at these places of the evaluated set."""
        numbers = [int(self.indices[place]) for place in places]
        rows = [self.rows[number] for number in numbers]
        named = [place_of(self.rows, *pair, self.columns.image) for pair in zip(numbers, rows, strict=True)]
        used = (self.columns.image, self.columns.label, self.columns.mask, self.columns.boxes)
        table = {column: [row.get(column) for row in rows] for column in used if column is not None}
        return read_batch(table, self.processor, self.masks, self.columns, self.class_map, named)

    @cached_property
    def labels(self) -> np.ndarray:
        """The model's class of each image of the evaluated set."""
        own = self.rows.values(self.columns.label)
        return np.array([model_class(own[row], self.class_map) for row in self.indices], int)

    def grids(self, metric: Metric, count: int | None = None) -> np.ndarray:
        """
        The places of the images in each grid of a metric (see [`GridDesign`]), at most `count` grids (default: the
        plan's); none if too few classes are recognised.
        """
        assert metric.grid is not None
        count = self.plan.options.num_grids if count is None else count
        key = metric.name, count
        if key not in self._grids:
            known = self.records(CLASSIFICATION.name)
            if known is None:
                raise RuntimeError("grids are chosen by the records of classification, and some are missing.")
            right = {name: values[known["top1"] > 0] for name, values in known.items()}
            labels = self.labels[right["image"]]
            self._grids[key] = right["image"][metric.grid.choose(labels, right, count, self.plan.seed)]
        return self._grids[key]

    @cached_property
    def randomized(self) -> dict[str, torch.nn.Module]:
        return randomized_models(self.classifier.model, self.plan.seed)

    def _parts_of(self, name: str, explainer: str) -> int:
        """The number of parts of the records of a metric and an explainer; 0 if they were never asked for."""
        settings, metric = self.store.settings(name), METRICS[name]
        if settings is None or self.store.settings(name, explainer) is None:
            return 0
        if metric.grid:
            return len(self.grids(metric, settings["num_grids"]))
        limit = settings["limit"]
        return self.parts if limit is None else min(self.parts, math.ceil(limit / self.plan.batch_size))

    def _is_complete(self, name: str, explainer: str) -> bool:
        parts = self._parts_of(name, explainer)
        return parts > 0 and all(self.store.has(name, explainer, part) for part in range(parts))

    def _missing_records(self, part: int) -> list[tuple[str, str]]:
        """Of a part of the images: names of explainers and metrics, one explainer after the other."""
        metrics = [metric for metric in self.plan.recorded.values() if not metric.grid]
        pairs = [(CLASSIFIER, metric.name) for metric in metrics if not metric.needs_explainer]
        pairs += [(e, metric.name) for e in self.plan.explainers for metric in metrics if metric.needs_explainer]
        return [
            (explainer, name)
            for explainer, name in pairs
            if part < self._parts_of(name, explainer) and not self.store.has(name, explainer, part)
        ]

    def _record_images(self) -> None:
        with missing_parts(self.process, range(self.parts), lambda part: not self._missing_records(part)) as mine:
            missing = {part: self._missing_records(part) for part in mine}
            with self._progress("images", sum(map(len, missing.values()))) as progress:
                for part, todo in missing.items():
                    self._record_part(part, todo, progress)

    def _record_part(self, part: int, todo: Sequence[tuple[str, str]], progress: "tqdm[Any]") -> None:
        start = part * self.plan.batch_size
        places = range(start, min(start + self.plan.batch_size, len(self.indices)))
        classified = ClassifiedBatch(self.classifier, self.batch(places), start)
        for explainer, pairs in groupby(todo, key=lambda pair: pair[0]):  # one explainer's maps in memory at a time
            method = self.plan.explainers.get(explainer)
            explained = ExplainedBatch(classified, method, lambda: self.randomized, self.plan.options)
            for _, name in pairs:
                progress.set_postfix_str(f"{explainer}, {name}")
                self.store.write(name, explainer, part, explained.records(METRICS[name]))
                progress.update()

    def _record_grids(self, metric: Metric, grid: GridDesign) -> None:
        grids, side = self.grids(metric), grid.side

        def missing_of(number: int) -> list[str]:
            return [e for e in self.plan.explainers if not self.store.has(metric.name, e, number)]

        with missing_parts(self.process, range(len(grids)), lambda number: not missing_of(number)) as mine:
            missing = {number: missing_of(number) for number in mine}
            with self._progress(metric.title, sum(map(len, missing.values()))) as progress:
                for number, todo in missing.items():
                    classified = ClassifiedBatch(self.classifier, self.batch(grids[number]))
                    for explainer in todo:
                        progress.set_postfix_str(explainer)
                        heatmaps = grid_heatmaps(self.plan.explainers[explainer], classified, side)
                        measured = metric.measure(heatmaps=heatmaps, cells=np.arange(side**2))
                        records = {"grid": np.full(side**2, number), **measured}
                        self.store.write(metric.name, explainer, number, records)
                        progress.update()

    def _progress(self, title: str, total: int) -> "tqdm[Any]":
        return tqdm(
            total=total, desc=title, unit="step", disable=not total or not self.process.is_main_process, smoothing=0.1
        )
