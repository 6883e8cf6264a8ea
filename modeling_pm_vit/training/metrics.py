"""Accuracy, map quality and losses over an evaluation set, computed by `Trainer` after each evaluation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction

from ..explanation_pm_vit import IGNORE
from ..metrics.class_report import CLASS_VALUES, OVERALL_VALUES, ClassReport, class_report
from ..metrics.metric import Metric, MetricValue, Records, weighted_mean, weighted_sum
from ..metrics.multi_label import area_under_roc, average_precision
from ..metrics.overlap import intersection_over_union
from ..metrics.pointing import energy_pointing_game

_MAPS = ("patch_iou", "object_found", "energy_pointing_game", "empty_mask_accuracy")
_MEANS = ("accuracy", *_MAPS)
_RANKINGS = ("mean_average_precision", "auroc")
_LOSSES = ("loss", "classification_loss", "mask_loss")
_LOGGED_CLASSES = 20  # whose recall is logged


def _measure(
    predictions: np.ndarray, heatmaps: np.ndarray, losses: np.ndarray, labels: np.ndarray, mask_labels: np.ndarray
) -> dict[str, np.ndarray]:
    """
    Args:
        predictions: predicted classes `(n,)`.
        heatmaps: the maps of the true classes `(n, h, w)`.
        losses: the three losses `(n, 3)`; their sums over n are the sums over all images.
        labels: `(n,)`, -100 for a padding sample.
        mask_labels: the masks of the true classes `(n, h, w)`, -100 where unknown.
    """
    real = labels != IGNORE
    values = map_values(heatmaps, np.where(real[:, None, None], mask_labels, IGNORE))
    accuracy = np.where(real, predictions == labels, np.nan)
    return {"accuracy": accuracy, **dict(zip(_MAPS, values, strict=True)), "losses": losses, "real": real}


def map_values(heatmaps: np.ndarray, mask_labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """
    Of each map: intersection over union, whether it finds the object, energy-based pointing game; and, for an empty
    mask, which has none of these, whether the map is empty too: as [`TRAINING`] describes them.

    Args:
        heatmaps, mask_labels: `(n, h, w)`, the probabilities of a class and the fractions that its mask covers, -100
            where unknown.

    Returns:
        Four arrays `(n,)`; NaN where there is no value.
    """
    known = mask_labels != IGNORE
    most = mask_labels.max((-2, -1), keepdims=True)  # an object smaller than half a patch is where it covers most
    covered, shown = (mask_labels >= np.minimum(0.5, most)) & (mask_labels > 0), heatmaps * known
    is_there = covered.any((-2, -1))
    overlap = np.where(is_there, intersection_over_union(shown >= 0.5, covered), np.nan)
    empty = np.where(known.any((-2, -1)) & ~is_there, ~(shown >= 0.5).any((-2, -1)), np.nan)
    found = np.where(np.isnan(overlap), np.nan, overlap > 0)
    return overlap, found, energy_pointing_game(shown, covered), empty


def mean_map_values(heatmaps: torch.Tensor, mask_labels: torch.Tensor) -> torch.Tensor:
    """Of `(n, K, h, w)`: the means over the classes of an image of all [`map_values`], `(n, 4)`, NaN for none."""
    values = map_values(heatmaps.flatten(0, 1).numpy(), mask_labels.flatten(0, 1).numpy())
    return torch.from_numpy(np.stack(values, -1)).unflatten(0, heatmaps.shape[:2]).nanmean(1)


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    values = {name: weighted_mean(records[name], weights) for name in _MEANS} | _empty_masks(records, weights)
    sums, count = weighted_sum(records["losses"], weights), weighted_sum(records["real"], weights)
    return values | dict(zip(_LOSSES, sums.T / count, strict=True))


def _empty_masks(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The number of images with an empty mask, NaN for none."""
    count = weighted_sum(np.isfinite(records["empty_mask_accuracy"]), weights)
    return {"empty_masks": np.where(count > 0, count, np.nan)}


def _measure_several(
    logits: np.ndarray, map_values: np.ndarray, losses: np.ndarray, labels: np.ndarray, has_mask: np.ndarray
) -> dict[str, np.ndarray]:
    """
    Args:
        logits: `(n, classes)`.
        map_values: `(n, 4)`, see [`mean_map_values`].
        losses: the three losses `(n, 3)`; their sums over n are the sums over all images.
        labels: `(n, classes)`: 1 present, 0 absent, -100 unknown.
        has_mask: `(n,)`, boolean.
    """
    known = labels != IGNORE
    return {
        "logits": logits,
        "labels": labels,
        **dict(zip(_MAPS, map_values.T, strict=True)),
        "losses": losses,
        "known": known.mean(1),
        "real": known.any(1) | has_mask.astype(bool),
    }


def _summarize_several(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    ranked = records["logits"], records["labels"], weights
    each = np.ones((1, records["labels"].shape[1]))
    means = [weighted_mean(values(*ranked).T, each)[0] for values in (average_precision, area_under_roc)]
    maps = {name: weighted_mean(records[name], weights) for name in _MAPS} | _empty_masks(records, weights)
    loss, classification, mask = weighted_sum(records["losses"], weights).T
    images, labelled = weighted_sum(records["real"], weights), weighted_sum(records["known"], weights)
    of_classes = np.divide(classification, labelled, out=np.zeros_like(classification), where=labelled > 0)
    losses = ((loss - classification) / images + of_classes, of_classes, mask / images)
    return dict(zip(_RANKINGS, means, strict=True)) | maps | dict(zip(_LOSSES, losses, strict=True))


_EMPTY_MASKS = MetricValue("empty_masks", "empty_masks", None, 1.0)

TRAINING = Metric(
    name="training",
    title="Training",
    values=(
        *(MetricValue(name, name) for name in _MEANS),
        _EMPTY_MASKS,
        *(MetricValue(name, name, higher_is_better=False, scale=1.0) for name in _LOSSES),
    ),
    measure=_measure,
    summarize=_summarize,
    features={
        "predictions": (0, "int64"),
        "heatmaps": (2, "float32"),
        "losses": (1, "float32"),
        "labels": (0, "int64"),
        "mask_labels": (2, "float32"),
    },
    variant="accuracy (top-1), loss and its terms: means over the images. Over those with a mask of their own class, "
    "on the patches: patch_iou, the mean intersection over union of 'probability at least 0.5' with 'covered at "
    "least by half', or, if a mask covers no patch by half, 'covered the most'; object_found, the share of the images "
    "where both are true of a patch; energy_pointing_game, the mean share of the map's mass in the covered patches. "
    "Images with an empty mask (the class is not there) are counted apart: empty_masks is their number, "
    "empty_mask_accuracy the share of them whose map is empty as well. Patches whose mask is unknown are excluded.",
)


TRAINING_SEVERAL = Metric(
    name="training_several",
    title="Training with several labels per image",
    values=(
        *(MetricValue(name, name) for name in (*_RANKINGS, *_MAPS)),
        _EMPTY_MASKS,
        *TRAINING.values[-len(_LOSSES) :],
    ),
    measure=_measure_several,
    summarize=_summarize_several,
    features={
        "logits": (1, "float32"),
        "map_values": (1, "float32"),
        "losses": (1, "float32"),
        "labels": (1, "float32"),
        "has_mask": (0, "bool"),
    },
    variant="mean_average_precision and auroc: average precision (as in scikit-learn) and the area under the ROC curve "
    "of each class, over the images whose label for it is known; means over the classes that have a value. The loss "
    "and its terms: means over the known labels and over the images. The values of maps, as for one label per image, "
    "of the classes whose labels and masks are known: means over the classes of an image, then over the images; "
    "empty_masks counts images.",
)


def explanation_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    The values of [`TRAINING`], or of [`TRAINING_SEVERAL`] where images have several labels, which describe them; those
    that no image has are left out.

    Args:
        prediction: `predictions` are the logits `(n, classes)` and the other inputs of the metric, `label_ids` its last
            two, in their order.
    """
    predictions: Any = prediction.predictions
    labels: Any = prediction.label_ids
    metric = TRAINING_SEVERAL
    if labels[0].ndim == 1:
        metric, predictions = TRAINING, (predictions[0].argmax(-1), *predictions[1:])
    values = metric.compute(**dict(zip(metric.features, (*predictions, *labels), strict=True)))
    return {name: value for name, value in values.items() if not np.isnan(value)}


def classes_report(prediction: EvalPrediction, specificity: float) -> ClassReport:
    """The [`class_report`] of the same predictions."""
    predictions: Any = prediction.predictions
    labels: Any = prediction.label_ids
    return class_report(predictions[0], labels[0], specificity)


def class_metrics(report: ClassReport, names: Sequence[str], wanted: str | None = None) -> dict[str, float]:
    """
    Means over the classes, and of each class the recall (`recall_NAME`), of at most 20 classes; with several labels per
    image the area under the ROC curve (`auroc_NAME`). What has no value is left out.

    Args:
        names: of the classes.
        wanted: one more value, such as `precision_NAME`, 0 where it has none: a class that is never named.
    """
    values = {name: found[0] for name, found in report.overall.items() if name != "accuracy"}
    each = {f"{of}_{name}": report.classes[of][c, 0] for of in report.classes for c, name in enumerate(names)}
    logged = "auroc" if report.confusion is None else "recall" if len(names) <= _LOGGED_CLASSES else None
    chosen = [key for key in each if key == wanted or (logged and key.startswith(f"{logged}_"))]
    values |= {key: each[key] for key in chosen}
    if wanted in values:
        values[wanted] = np.nan_to_num(values[wanted])
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def metric_names(names: Sequence[str], several: bool) -> list[str]:
    """The values of an evaluation, by any of which a checkpoint can be the best."""
    metric = TRAINING_SEVERAL if several else TRAINING
    overall = [name for name in OVERALL_VALUES if not (several and "accuracy" in name)]
    of_classes = (*CLASS_VALUES, "average_precision") if several else CLASS_VALUES
    each = [f"{of}_{name}" for of in of_classes for name in names]
    return list(dict.fromkeys([*(value.name for value in metric.values), *overall, *each]))
