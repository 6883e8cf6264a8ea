"""How well a map agrees with a mask."""

import numpy as np


def intersection_over_union(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """
    Of boolean masks `(..., height, width)`, one value a mask. Two empty masks agree (1).
    """
    prediction, target = _same_shape(prediction, target)
    prediction, target = prediction.astype(bool), target.astype(bool)
    intersection = (prediction & target).sum((-2, -1))
    union = (prediction | target).sum((-2, -1))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def energy_inside(heatmap: np.ndarray, target: np.ndarray) -> np.ndarray:
    """
    Share of a map's positive mass that lies inside the mask (energy-based pointing game; Wang et al., Score-CAM, 2020).

    Args:
        heatmap: `(..., height, width)`, negative values count as 0.
        target: boolean, of the same shape.

    Returns:
        One value in [0, 1] a map; 0 for a map without mass.
    """
    heatmap, target = _same_shape(heatmap, target)
    mass = np.maximum(heatmap.astype(np.float64), 0)
    total = mass.sum((-2, -1))
    return np.where(total > 0, (mass * target.astype(bool)).sum((-2, -1)) / np.where(total > 0, total, 1), 0.0)


def _same_shape(a, b) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(f"expected a map and a mask of the same shape (..., height, width), got {a.shape}, {b.shape}.")
    return a, b
