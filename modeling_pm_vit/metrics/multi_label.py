"""
Ranking of images by the score of a class, for images with several classes or none: average precision and the area under
the ROC curve, as in scikit-learn (`average_precision_score`: a step function, not interpolated) and torchmetrics.
Their means over the classes are macro averages.
"""

from collections.abc import Callable

import numpy as np


def average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """
    Args:
        scores: `(n, classes)`.
        labels: same shape: 1 present, 0 absent, any other value unknown.
        weights: `(resamples, n)`; by default each image counts once.

    Returns:
        `(resamples, classes)`, or `(classes,)` without weights; NaN for a class that no image has.

    Example:
        >>> average_precision(np.array([[0.9], [0.8], [0.3]]), np.array([[1], [0], [1]])).round(3).tolist()
        [0.833]
    """
    return _per_class(_average_precision, scores, labels, weights)


def area_under_roc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """
    Arguments and shape as for [`average_precision`]; NaN for a class that all images have or none has.

    Example:
        >>> area_under_roc(np.array([[0.9], [0.8], [0.3]]), np.array([[1], [0], [1]])).tolist()
        [0.5]
    """
    return _per_class(_area_under_roc, scores, labels, weights)


def _average_precision(present: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """
    Args:
        present, absent: `(resamples, thresholds)`, the weight of the images with and without the class whose scores
            reach each threshold, from the highest threshold to the lowest.

    Returns:
        `(resamples,)`.
    """
    precision = _ratio(present, present + absent)
    return _ratio((np.diff(present, prepend=0) * np.nan_to_num(precision)).sum(1), present[:, -1])


def _area_under_roc(present: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Arguments and shape as for [`_average_precision`]."""
    new = np.diff(present, prepend=0)
    wins = (np.diff(absent, prepend=0) * (present - new / 2)).sum(1)  # equal scores count half
    return _ratio(wins, present[:, -1] * absent[:, -1])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _per_class(
    area: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scores: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
) -> np.ndarray:
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 2:
        raise ValueError(f"expected scores and labels (n, classes), got {scores.shape} and {labels.shape}.")
    counts = np.ones((1, len(scores))) if weights is None else np.asarray(weights, np.float64)
    values = np.full((len(counts), scores.shape[1]), np.nan)
    for c in range(scores.shape[1]):
        known = np.flatnonzero((labels[:, c] == 1) | (labels[:, c] == 0))
        if not len(known):
            continue
        order = known[np.argsort(-scores[known, c])]
        last = np.append(np.flatnonzero(np.diff(scores[order, c])), len(order) - 1)  # of each run of equal scores
        present, absent = (np.cumsum(counts[:, order] * (labels[order, c] == value), 1)[:, last] for value in (1, 0))
        values[:, c] = area(present, absent)
    return values[0] if weights is None else values
