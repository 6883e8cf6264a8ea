"""
How often a classifier is right about each class: recall (sensitivity), precision, F1, area under the ROC curve and
sensitivity at a chosen specificity, each against all other classes and with its interval; balanced accuracy (the mean
recall) and the confusion matrix. torchmetrics computes curves and confusion, [`intervals`] the intervals.

The scores of a class are its probabilities: softmax over the classes, or the sigmoid where an image can have several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .intervals import area_under_roc, f1_score, mean_of_independent, proportion
from .multi_label import average_precision

SPECIFICITY = 0.9
CLASS_VALUES = ("recall", "precision", "f1", "auroc", "sensitivity_at_specificity")
OVERALL_VALUES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "sensitivity_at_specificity")


@dataclass(frozen=True)
class ClassReport:
    """
    Attributes:
        count: of the images with a known label.
        images: of each class, `(K,)`; with several labels per image those that show it.
        classes: each of `CLASS_VALUES`, `(K, 3)`: the value of each class and its 95 % interval, low and high; NaN
            where there is none. That of the sensitivity takes the threshold as given; it is chosen on these images.
        thresholds: probability of each class from which it has this sensitivity, `(K,)`.
        overall: `OVERALL_VALUES` `(3,)`; means over the classes, all but the first without an interval but for balanced
            accuracy. With several labels per image there is no accuracy and no balanced accuracy, but
            `mean_average_precision`, and each class has an `average_precision`.
        confusion: number of images by true and by predicted class, `(K, K)`; None with several labels per image.
        specificity: at which the sensitivity is reported.
    """

    count: int
    images: np.ndarray
    classes: dict[str, np.ndarray]
    thresholds: np.ndarray
    overall: dict[str, np.ndarray]
    confusion: np.ndarray | None
    specificity: float


def class_report(logits: np.ndarray, labels: np.ndarray, specificity: float = SPECIFICITY) -> ClassReport:
    """
    Args:
        logits: `(n, K)`.
        labels: `(n,)`, the class of each image; or `(n, K)`: 1 present, 0 absent. Any other value is unknown and does
            not count.
        specificity: in [0, 1].

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> class_report(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [2.0, 1.0]]), np.array([0, 0, 1, 1])).confusion
        array([[2, 0],
               [1, 1]])
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    several = labels.ndim == 2
    if logits.ndim != 2 or labels.shape not in (logits.shape, logits.shape[:1]):
        raise ValueError(f"expected logits (n, K) and labels (n,) or (n, K), got {logits.shape} and {labels.shape}.")
    count = logits.shape[1]
    confusion = None
    if several:
        scores = torch.from_numpy(logits).sigmoid().numpy()
        said, truth = logits >= 0, labels
    else:
        known = (labels >= 0) & (labels < count)
        logits, labels = logits[known], labels[known].astype(int)
        scores = torch.from_numpy(logits).softmax(-1).numpy()
        predicted = logits.argmax(1)
        said, truth = predicted[:, None] == np.arange(count), (labels[:, None] == np.arange(count)).astype(int)
        confusion = _confusion(predicted, labels, count)
    present, absent = truth == 1, truth == 0
    found, images, said_of = (said & present).sum(0), present.sum(0), (said & (present | absent)).sum(0)
    curves = [_curve_values(scores[:, c], present[:, c], absent[:, c], specificity) for c in range(count)]
    areas, sensitivities, thresholds = np.array(curves).reshape(count, 3).T
    classes = {
        "recall": proportion(found, images),
        "precision": proportion(found, said_of),
        "f1": f1_score(found, images + said_of - found),
        "auroc": area_under_roc(areas, images, absent.sum(0)),
        "sensitivity_at_specificity": proportion(
            sensitivities * images, np.where(np.isfinite(sensitivities), images, 0)
        ),
    }
    overall = (
        {}
        if several
        else {
            "accuracy": proportion(found.sum(), images.sum()),
            "balanced_accuracy": mean_of_independent(classes["recall"]),
        }
    )
    for name, of in {
        "macro_f1": "f1",
        "auroc": "auroc",
        "sensitivity_at_specificity": "sensitivity_at_specificity",
    }.items():
        overall[name] = np.array([_mean(classes[of][images > 0, 0]), np.nan, np.nan])
    if several:
        precisions = average_precision(scores, labels)
        classes["average_precision"] = np.stack([precisions, *np.full((2, count), np.nan)], -1)
        overall["mean_average_precision"] = np.array([_mean(precisions), np.nan, np.nan])
    count_known = int((present | absent).any(1).sum())
    return ClassReport(count_known, images, classes, thresholds, overall, confusion, specificity)


def _confusion(predicted: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    arrays = torch.from_numpy(predicted), torch.from_numpy(labels)
    return np.asarray(multiclass_confusion_matrix(*arrays, num_classes=count).numpy())


def _curve_values(
    scores: np.ndarray, present: np.ndarray, absent: np.ndarray, specificity: float
) -> tuple[float, float, float]:
    """Of one class: area under the ROC curve, sensitivity at the specificity, and its threshold; NaN without either."""
    from torchmetrics.functional.classification import binary_auroc, binary_sensitivity_at_specificity

    if not present.any() or not absent.any():
        return (np.nan,) * 3
    known = present | absent
    arrays = torch.from_numpy(scores[known]), torch.from_numpy(present[known].astype(int))
    area = float(binary_auroc(*arrays))
    sensitivity, threshold = binary_sensitivity_at_specificity(*arrays, min_specificity=specificity)
    return area, float(sensitivity), float(threshold)


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
