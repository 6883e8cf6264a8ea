"""
Does the map point at the object?

Pointing game (Zhang et al., *Top-down neural attention by excitation backprop*, 2016), variant: a hit if any pixel at
the map's maximum lies in the mask or box, without a margin. So a constant map always hits; a map that holds NaN or
infinity has no maximum and never hits.

Energy-based pointing game (Wang et al., *Score-CAM*, 2020): the share of the map's positive mass inside the mask or
box; 0 for a map without mass.
"""

import numpy as np

from .heatmaps import checked_pair
from .metric import ExplainedImages, Metric, MetricValue, Records, means


def pointing_game(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`.
        masks: same shape, non-zero inside.

    Returns:
        `(n,)`: 1 for a hit, 0 for a miss, NaN where the mask is empty.

    Example:
        >>> heatmaps = np.array([[[0.1, 0.9], [0.2, 0.3]]])
        >>> masks = np.array([[[0, 1], [0, 1]]])
        >>> pointing_game(heatmaps, masks).tolist(), energy_pointing_game(heatmaps, masks).round(3).tolist()
        ([1.0], [0.8])
    """
    valid = np.isfinite(heatmaps).all((-2, -1))[..., None, None]
    heatmaps, masks = checked_pair(heatmaps, masks)
    peaks = valid & (heatmaps == heatmaps.max((1, 2), keepdims=True))
    return np.where(masks.any((1, 2)), (peaks & masks).any((1, 2)).astype(float), np.nan)


def energy_pointing_game(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`; negative values count as 0.
        masks: same shape, non-zero inside.

    Returns:
        `(n,)` in [0, 1]; 0 for a map without mass, NaN where the mask is empty.
    """
    heatmaps, masks = checked_pair(heatmaps, masks)
    mass = np.maximum(heatmaps, 0)
    total, inside = mass.sum((1, 2)), (mass * masks).sum((1, 2))
    share = np.where(total > 0, inside / np.where(total > 0, total, 1), 0.0)
    return np.where(masks.any((1, 2)), share, np.nan)


def _measure(heatmaps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "pointing_game": pointing_game(heatmaps, masks),
        "energy_pointing_game": energy_pointing_game(heatmaps, masks),
    }


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.heatmaps[rows], images.masks[rows])


POINTING = Metric(
    name="pointing",
    title="Pointing",
    values=(
        MetricValue("pointing_game", "Pointing game"),
        MetricValue("energy_pointing_game", "Energy-based pointing game"),
    ),
    measure=_measure,
    summarize=means("pointing_game", "energy_pointing_game"),
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Pointing game: any of tied maxima inside the mask or box, no margin. Energy-based pointing game: share of "
    "the positive mass inside. Maps of the true class, bilinear at the model's input size.",
    eligible=lambda images: images.has_region,
    needs="images with a mask or box",
    record=_record,
)
