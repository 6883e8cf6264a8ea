"""Overlap of two masks."""

import numpy as np


def intersection_over_union(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """
    Of boolean masks `(..., height, width)`: one value per mask. It is 1 for two empty masks.

    Example:
        >>> intersection_over_union([[1, 1], [0, 0]], [[1, 0], [1, 0]]).round(3).tolist()
        0.333
    """
    prediction, target = np.asarray(prediction), np.asarray(target)
    if prediction.shape != target.shape or prediction.ndim < 2:
        raise ValueError(
            f"expected two masks of the same shape (..., height, width), got {prediction.shape}, {target.shape}."
        )
    prediction, target = prediction.astype(bool), target.astype(bool)
    intersection = (prediction & target).sum((-2, -1))
    union = (prediction | target).sum((-2, -1))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))
