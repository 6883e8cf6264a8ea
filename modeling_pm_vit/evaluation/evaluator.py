"""Explainers judged by protocols on the images of a dataset: in parts, by one process or several, resumable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm

from ..data.columns import Columns
from ..data.masks import MaskEncoding
from ..explainers import Explainer
from ..image_processing_pm_vit import PMViTImageProcessor
from ..metrics.classification import CLASSIFICATION
from ..metrics.grid_pointing import GRID_2X2, GRID_3X3, choose_grids
from ..metrics.metric import Protocol, Records
from ..utils.processes import processes
from ..utils.resuming import missing_parts
from .batch import Batch, read_batch
from .classifier import Classifier
from .explained import IMAGE_PROTOCOLS, ClassifiedBatch, ExplainedBatch, judge_grid
from .randomized_models import randomized_models
from .records import RecordStore

GRID_PROTOCOLS: dict[str, tuple[int, Protocol]] = {"grid_2x2": (2, GRID_2X2), "grid_3x3": (3, GRID_3X3)}
PROTOCOLS: dict[str, Protocol] = {
    "classification": CLASSIFICATION,
    **{name: protocol for name, (_, protocol) in GRID_PROTOCOLS.items()},
    **IMAGE_PROTOCOLS,
}
CLASSIFIER = "classifier"  # whose records of classification are, where the others have an explainer's name


@dataclass(frozen=True)
class Plan:
    """
    What to evaluate.

    Args:
        explainers: to be judged.
        protocols: names in `PROTOCOLS`; classification is always recorded.
        max_images: at most so many images, drawn from the dataset at random.
        limits: for single protocols fewer images, rounded up to whole batches. They come first in the same order.
        grids: how many grids the grid pointing games play.
        step_rows: of insertion and deletion (see [`insertion_deletion_curves`]).
        batch_size: images in a part.
        seed: of the order of the images, the choice of the grids and the randomised parameters.
    """

    explainers: Mapping[str, Explainer]
    protocols: Sequence[str] = tuple(PROTOCOLS)
    max_images: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    grids: int = 60
    step_rows: int = 1
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self):
        for name in (*self.protocols, *self.limits):
            if name not in PROTOCOLS:
                raise ValueError(f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)}.")
        if wrong := [name for name in self.limits if name in GRID_PROTOCOLS or name == "classification"]:
            raise ValueError(f"{wrong[0]} takes no limit of images.")

    @cached_property
    def image_protocols(self) -> list[str]:
        return [name for name in self.protocols if name in IMAGE_PROTOCOLS]


class Evaluation:
    """
    Records of explainers on the images of a dataset, in `folder`.

    Args:
        subject: the classifier, a PM-ViT.
        processor: with a height and a width for `size` and no centre crop.
        dataset: any, with the columns that `columns` names; labels are the model's class indices.
        encoding: of its masks (see [`decode_mask`]).
        columns: names.
        plan: what to evaluate.
        folder: of the records. Those of the same settings that are there already are not made again.
        settings: what else the records depend on, of which the caller knows (names and versions of model and data).

    Raises:
        ValueError: if the folder holds records of other settings.
    """

    def __init__(
        self,
        subject: Classifier,
        processor: PMViTImageProcessor,
        dataset: Dataset,
        encoding: MaskEncoding,
        columns: Columns,
        plan: Plan,
        folder: Path,
        settings: Mapping = {},
    ):
        self.subject, self.processor, self.dataset = subject, processor, dataset
        self.encoding, self.columns, self.plan, self.settings = encoding, columns, plan, dict(settings)
        order = np.random.default_rng(plan.seed).permutation(len(dataset))
        self.indices = order[: plan.max_images]
        self.parts = math.ceil(len(self.indices) / plan.batch_size)
        self.process = processes(subject.device.type)
        own = {
            "images": len(self.indices),
            "limits": dict(plan.limits),
            "grids": plan.grids,
            "step_rows": plan.step_rows,
            "batch_size": plan.batch_size,
            "seed": plan.seed,
            "size": [processor.size["height"], processor.size["width"]],
            "mask_encoding": encoding,
            "columns": [columns.image, columns.label, columns.mask, columns.boxes],
        }
        self._grids: dict[str, np.ndarray] = {}
        with self.process.main_process_first():
            self.store = RecordStore(folder, own | self.settings)

    def run(self) -> None:
        """Make the records that are missing. Several processes share them out; all return when all are there."""
        self._judge_images()
        for name in self.plan.protocols:
            if name in GRID_PROTOCOLS:
                self._judge_grids(name)

    def records(self, protocol: str, explainer: str = CLASSIFIER) -> Records | None:
        """All records of an explainer under a protocol; `None` if there are none."""
        if protocol in GRID_PROTOCOLS:
            return self.store.read(protocol, explainer, len(self.grids(protocol)))
        return self.store.read(protocol, explainer, self._parts_of(protocol))

    def batch(self, places: Sequence[int]) -> Batch:
        """The images at these places of the evaluated set."""
        rows = self.dataset[[int(self.indices[place]) for place in places]]
        return read_batch(rows, self.processor, self.encoding, self.columns)

    def grids(self, protocol: str) -> np.ndarray:
        """The places of the images in each grid (see [`choose_grids`]); none if too few classes are recognised."""
        if protocol in self._grids:
            return self._grids[protocol]
        side, _ = GRID_PROTOCOLS[protocol]
        known = self.records("classification")
        labels = np.array(self.dataset[self.columns.label])[self.indices[known["image"]]]
        predicted = np.where(known["top1"] > 0, labels, -1)
        self._grids[protocol] = choose_grids(
            labels, predicted, known["confidence"], side, self.plan.grids, self.plan.seed
        )
        return self._grids[protocol]

    @cached_property
    def randomized(self) -> dict[str, torch.nn.Module]:
        return randomized_models(self.subject.model, self.plan.seed)

    def _parts_of(self, protocol: str) -> int:
        limit = self.plan.limits.get(protocol)
        return self.parts if limit is None else min(self.parts, math.ceil(limit / self.plan.batch_size))

    def _missing_records(self, part: int) -> list[tuple[str, str]]:
        """Of a part of the images: names of explainers and protocols."""
        return [
            (explainer, name)
            for explainer in self.plan.explainers
            for name in self.plan.image_protocols
            if part < self._parts_of(name) and not self.store.has(name, explainer, part)
        ]

    def _is_done(self, part: int) -> bool:
        return self.store.has("classification", CLASSIFIER, part) and not self._missing_records(part)

    def _judge_images(self) -> None:
        with missing_parts(self.process, range(self.parts), self._is_done) as mine:
            missing = {part: self._missing_records(part) for part in mine}
            self._judge_parts(missing)

    def _judge_parts(self, missing: Mapping[int, Sequence[tuple[str, str]]]) -> None:
        with self._progress("images", sum(map(len, missing.values()))) as progress:
            for part, todo in missing.items():
                start = part * self.plan.batch_size
                places = range(start, min(start + self.plan.batch_size, len(self.indices)))
                judged = ClassifiedBatch(self.subject, self.batch(places), start)
                if not self.store.has("classification", CLASSIFIER, part):
                    self.store.write("classification", CLASSIFIER, part, judged.classification())
                judges: dict[str, ExplainedBatch] = {}
                for explainer, name in todo:
                    progress.set_postfix_str(f"{explainer}, {name}")
                    if explainer not in judges:
                        method = self.plan.explainers[explainer]
                        judges = {
                            explainer: ExplainedBatch(method, judged, lambda: self.randomized, self.plan.step_rows)
                        }
                    self.store.write(name, explainer, part, judges[explainer].records(name))
                    progress.update()

    def _judge_grids(self, name: str) -> None:
        side, protocol = GRID_PROTOCOLS[name]
        grids = self.grids(name)

        def missing_of(number: int) -> list[str]:
            return [e for e in self.plan.explainers if not self.store.has(name, e, number)]

        with missing_parts(self.process, range(len(grids)), lambda number: not missing_of(number)) as mine:
            missing = {number: missing_of(number) for number in mine}
            with self._progress(protocol.title, sum(map(len, missing.values()))) as progress:
                for number, todo in missing.items():
                    judged = ClassifiedBatch(self.subject, self.batch(grids[number]))
                    for explainer in todo:
                        progress.set_postfix_str(explainer)
                        records = judge_grid(self.plan.explainers[explainer], judged, side, protocol, number)
                        self.store.write(name, explainer, number, records)
                        progress.update()

    def _progress(self, title: str, total: int) -> tqdm:
        return tqdm(
            total=total, desc=title, unit="step", disable=not total or not self.process.is_main_process, smoothing=0.1
        )
