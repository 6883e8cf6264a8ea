"""What a training run was: data, masks, start, results of each class. The model card is made of it."""

import math
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from transformers import EvalPrediction

from .. import __version__
from ..data.dataset import ExampleDataset
from ..data.label_columns import label_names, shown_in
from ..data.rows import Rows, RowsWithMasks
from ..metrics.multi_label import area_under_roc, average_precision
from ..utils.files import write_json
from .data_arguments import DataArguments
from .metrics import map_values
from .model_arguments import ModelArguments
from .run_arguments import PMViTTrainingArguments

SUMMARY = "training_summary.json"
_OF_THE_MACHINE = ("runtime", "per_second")  # in the names of metrics


def write_summary(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: PMViTTrainingArguments,
    sources: Sequence[Rows],
    eval_set: ExampleDataset,
    metrics: dict[str, float],
    of_classes: dict[str, dict[str, float]],
) -> None:
    """
    Write `training_summary.json` into the folder of the run. Folders are named without their parents, so that the file
    can be published.

    Args:
        sources: of the training.
        metrics: of the final evaluation.
        of_classes: from [`class_results`].
    """
    train = [_counts(rows, data_args) for rows in sources if not isinstance(rows, RowsWithMasks)]
    evaluation = _counts(eval_set.sources[0][0], data_args)
    names = list(train[0]["classes"])
    in_train = {name: _sum([of["classes"].get(name, {}) for of in train]) for name in names}
    data: dict[str, Any] = {
        "data": _public(data_args.data),
        "train_split": data_args.train_split,
        "mask_data": _public(data_args.mask_data),
        "mask_encoding": data_args.mask_encoding if any("masks" in of for of in train) else None,
        "train": _sum(train),
        "eval_data": _public(data_args.eval_data or data_args.data),
        "eval_split": data_args.eval_split,
        "evaluation": _sum([evaluation]),
        "classes": {
            name: {
                "train": in_train[name],
                "evaluation": evaluation["classes"].get(name, {}) | of_classes.get(name, {}),
            }
            for name in names
        },
    }
    run = {
        "base_model": _public(model_args.model),
        "frozen_layers": model_args.frozen_layers,
        "lora_rank": model_args.lora_rank,
        "epochs": round(metrics["epoch"], 2) if "epoch" in metrics else None,
        "seed": args.seed,
        "metrics": {
            name.removeprefix("eval_"): value
            for name, value in metrics.items()
            if name.startswith("eval_") and not any(part in name for part in _OF_THE_MACHINE)
        },
        "versions": {
            "pm-vit": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
    write_json(Path(args.output_dir) / SUMMARY, data | run)


def class_results(prediction: EvalPrediction, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """
    The results of an evaluation for the images of each class, by its name: `accuracy`, `patch_iou` and
    `energy_pointing_game`; or, where images have several labels, `average_precision` and `auroc`. What has no value is
    left out.

    Args:
        prediction: as for [`explanation_metrics`].
        names: of the classes.
    """
    predictions: Any = prediction.predictions
    labels, masks = cast(tuple[Any, Any], prediction.label_ids)
    if labels.ndim == 2:
        columns = {"average_precision": average_precision(predictions[0], labels)}
        columns["auroc"] = area_under_roc(predictions[0], labels)
    else:
        overlap, energy, _ = map_values(predictions[1], np.where((labels < 0)[:, None, None], -100, masks))
        values = {"accuracy": predictions[0] == labels, "patch_iou": overlap, "energy_pointing_game": energy}
        columns = {name: _class_means(of, labels, len(names)) for name, of in values.items()}
    return {
        name: {column: float(of[k]) for column, of in columns.items() if not math.isnan(of[k])}
        for k, name in enumerate(names)
    }


def _class_means(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """`(classes,)` from `(n,)`; NaN for a class without a value."""
    counted = (labels >= 0) & np.isfinite(values)
    sums, counts = (np.bincount(labels[counted], of, classes) for of in (values[counted].astype(float), None))
    return np.divide(sums, counts, out=np.full(classes, np.nan), where=counts > 0)


def _counts(rows: Rows, args: DataArguments) -> dict[str, Any]:
    """The number of `images` and, if there are any, of `masks`, of all rows and of each class."""
    names, shown = label_names(rows.features, args.label_column), shown_in(rows, args.label_column)
    parts = {"images": list(range(len(rows)))}
    if args.mask_column is not None and args.mask_column in rows.features:
        parts["masks"] = rows.rows_with(args.mask_column).tolist()
    of_all: dict[str, Any] = {part: len(chosen) for part, chosen in parts.items()}
    counts = {
        part: np.bincount([k for row in chosen for k in shown[row] or ()], minlength=len(names)).tolist()
        for part, chosen in parts.items()
    }
    of_all["classes"] = {name: {part: of[k] for part, of in counts.items()} for k, name in enumerate(names)}
    return of_all


def _sum(counts: Sequence[dict[str, Any]]) -> dict[str, int]:
    parts = [part for part in ("images", "masks") if any(part in of for of in counts)]
    return {part: sum(of.get(part, 0) for of in counts) for part in parts}


def _public(name: str | None) -> str | None:
    """A Hub id as it is; of a folder its own name."""
    return name if name is None or not Path(name).exists() else Path(name).resolve().name
