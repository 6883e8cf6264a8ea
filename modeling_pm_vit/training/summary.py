"""What a training run was: data, masks, start, results of each class. The model card is made of it."""

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
from ..explanation_pm_vit import IGNORE
from ..metrics.class_report import ClassReport
from ..metrics.classification import top_k_hits
from ..reporting.class_summary import Summary, class_summary, summary_lines
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
    summary: Summary,
) -> None:
    """
    Write `training_summary.json` into the folder of the run. Folders are named without their parents, so that the file
    can be published.

    Args:
        sources: of the training.
        metrics: of the final evaluation.
        summary: from [`evaluation_summary`].
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
        "evaluation": _sum([evaluation]) | {name: of for name, of in summary.items() if name != "classes"},
        "said_first": summary_lines(summary),
        "classes": {
            name: {
                "train": in_train[name],
                "evaluation": evaluation["classes"].get(name, {}) | summary["classes"].get(name, {}),
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


def evaluation_summary(prediction: EvalPrediction, report: ClassReport, names: Sequence[str]) -> Summary:
    """
    The [`class_summary`] of an evaluation; with one label per image also of the maps, on the grid of patches.

    Args:
        prediction: as for [`explanation_metrics`].
        report: of the same predictions.
        names: of the classes.
    """
    predictions: Any = prediction.predictions
    labels, masks = cast(tuple[Any, Any], prediction.label_ids)
    if labels.ndim == 2:
        return class_summary(report, names)
    real = labels != IGNORE
    logits, maps, labels = predictions[0][real], predictions[1][real], labels[real]
    top5 = top_k_hits(logits, labels, 5).mean() if len(labels) else None
    overlaps, recognised = map_values(maps, masks[real])[0], logits.argmax(-1) == labels
    return class_summary(report, names, overlaps, labels, recognised, top5)


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
