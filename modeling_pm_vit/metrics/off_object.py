"""How much of a map lies where it should not: off the object, or at the border of the image."""

import numpy as np

from .heatmaps import checked_heatmaps
from .pointing import energy_pointing_game

BORDER = 0.1  # of the side of the image


def off_object_share(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`; their positive part counts.
        masks: same shape, non-zero on the object.

    Returns:
        `(n,)` in [0, 1], one minus the energy-based pointing game; NaN for a map without positive values, or an empty
        mask.
    """
    masks = np.asarray(masks, bool)
    shares = 1 - energy_pointing_game(heatmaps, masks)
    has_mass = (checked_heatmaps(heatmaps) > 0).any((1, 2))
    return np.where(has_mass & masks.any((1, 2)), shares, np.nan)


def border_share(heatmaps: np.ndarray, border: float = BORDER) -> np.ndarray:
    """
    The share of the positive part of each map that lies in the border zone: less than `border` of the image's height or
    width from its edge. `(n,)`; NaN for a map without positive values.
    """
    return off_object_share(heatmaps, np.broadcast_to(~border_zone(heatmaps.shape[1:], border), heatmaps.shape))


def border_zone(size: tuple[int, ...], border: float = BORDER) -> np.ndarray:
    """The border zone of an image of the size `(height, width)`, boolean."""
    near = [np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) < border * side for side in size]
    return near[0][:, None] | near[1][None, :]
