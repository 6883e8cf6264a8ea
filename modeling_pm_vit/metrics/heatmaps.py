"""Heat maps as the metrics take them: checked, without NaN, at the requested size."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


def checked_heatmaps(heatmaps: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`.

    Returns:
        The same in float64. A map that holds NaN or infinity becomes 0 everywhere.

    Raises:
        ValueError: if the shape is different.
    """
    heatmaps = np.asarray(heatmaps)
    if heatmaps.ndim != 3:
        raise ValueError(f"expected heat maps of shape (n, height, width), got {heatmaps.shape}.")
    heatmaps = heatmaps.astype(np.float64)
    broken = ~np.isfinite(heatmaps).all((1, 2))
    heatmaps[broken] = 0
    return heatmaps


def checked_pair(heatmaps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The heat maps as in [`checked_heatmaps`], and the masks, of the same shape, as booleans."""
    heatmaps, masks = checked_heatmaps(heatmaps), np.asarray(masks)
    if masks.shape != heatmaps.shape:
        raise ValueError(f"expected masks of the heat maps' shape {heatmaps.shape}, got {masks.shape}.")
    return heatmaps, masks.astype(bool)


def min_max(heatmaps: np.ndarray) -> np.ndarray:
    """Each map stretched to 0 ... 1; a constant map becomes 0."""
    low, high = heatmaps.min((1, 2), keepdims=True), heatmaps.max((1, 2), keepdims=True)
    return np.where(high > low, (heatmaps - low) / np.where(high > low, high - low, 1), 0.0)


def resized(heatmaps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """
    Maps `(n, h, w)` at `size` (height, width), float32: bilinear, pixels taken as areas (no corner alignment).

    Interpolated in float64 and rounded: in float32 a constant map may get a spread of one unit in the last place, which
    stretching would enlarge to 0 ... 1 and ranking would take for an order.
    """
    tensor = torch.as_tensor(np.asarray(heatmaps, np.float64))[:, None]
    if tuple(tensor.shape[-2:]) != tuple(size):
        tensor = nn.functional.interpolate(tensor, size=tuple(size), mode="bilinear", align_corners=False)
    return tensor[:, 0].float().numpy()


def resized_bicubic(heatmaps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The same, bicubic and in float64, by OpenCV (for localization, as Choe et al. do)."""
    import cv2  # training uses the rest of this file without it

    maps = [cv2.resize(np.asarray(m, float), (size[1], size[0]), interpolation=cv2.INTER_CUBIC) for m in heatmaps]
    return np.array(maps, float).reshape(-1, *size)
