"""Accuracy, map quality and losses over an evaluation set, computed by `Trainer` after each evaluation."""

from typing import Any

import numpy as np
from transformers import EvalPrediction

from ..explanation_pm_vit import IGNORE
from ..metrics.metric import Metric, MetricValue, Records, weighted_mean, weighted_sum
from ..metrics.overlap import intersection_over_union
from ..metrics.pointing import energy_pointing_game

_MEANS = ("accuracy", "patch_iou", "energy_pointing_game")
_LOSSES = ("loss", "classification_loss", "mask_loss")


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
    real, known = labels != IGNORE, mask_labels != IGNORE
    masked = known.any((-2, -1)) & real
    covered, shown = mask_labels >= 0.5, heatmaps * known
    return {
        "accuracy": np.where(real, predictions == labels, np.nan),
        "patch_iou": np.where(masked, intersection_over_union(shown >= 0.5, covered), np.nan),
        "energy_pointing_game": np.where(masked, energy_pointing_game(shown, covered), np.nan),
        "losses": losses,
        "real": real,
    }


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    values = {name: weighted_mean(records[name], weights) for name in _MEANS}
    sums, count = weighted_sum(records["losses"], weights), weighted_sum(records["real"], weights)
    return values | dict(zip(_LOSSES, sums.T / count, strict=True))


TRAINING = Metric(
    name="training",
    title="Training",
    values=(
        *(MetricValue(name, name) for name in _MEANS),
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
    "least by half', and energy_pointing_game, the mean share of the map's mass in patches covered at least by half, "
    "where there is one. Patches whose mask is unknown are excluded.",
)


def explanation_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    The values of [`TRAINING`], which describes them; those that no image has are left out.

    Args:
        prediction: `predictions` of the classes, the maps and the losses; `label_ids` of the labels and the masks.
    """
    arrays: tuple[Any, Any] = (prediction.predictions, prediction.label_ids)
    (predictions, heatmaps, losses), (labels, mask_labels) = arrays
    values = TRAINING.compute(
        predictions=predictions, heatmaps=heatmaps, losses=losses, labels=labels, mask_labels=mask_labels
    )
    return {name: value for name, value in values.items() if not np.isnan(value)}
