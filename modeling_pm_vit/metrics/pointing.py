"""Does the map point at the object?

Pointing game (Zhang et al., *Top-down neural attention by excitation backprop*, 2016), variant: a hit if any pixel at
which the map has its maximum lies in the mask or box, without a margin; so a constant map always hits, and one that
holds NaN or infinity, having no maximum, never.

Energy-based pointing game (Wang et al., *Score-CAM*, 2020): the share of the map's positive mass that lies inside; 0
for a map without mass.

Own object: in an image with objects of several classes, of the mass of a class's map on any object, the share on its
own; undefined for a map without mass there.
"""

import numpy as np

from .heatmaps import checked_pair
from .metric import Figure, Protocol, means


def pointing_game(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`.
        masks: same shape, non-zero inside.

    Returns:
        `(n,)`: 1 for a hit, 0 for a miss, NaN where the mask is empty.
    """
    valid = np.isfinite(heatmaps).all((-2, -1))[..., None, None]
    heatmaps, masks = checked_pair(heatmaps, masks)
    peaks = valid & (heatmaps == heatmaps.max((1, 2), keepdims=True))
    return np.where(masks.any((1, 2)), (peaks & masks).any((1, 2)).astype(float), np.nan)


def energy_inside(heatmaps: np.ndarray, masks: np.ndarray) -> np.ndarray:
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


def own_object(heatmaps: np.ndarray, masks: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`, each of a class that the image shows.
        masks: same shape: where that class is.
        objects: same shape: where any object is.

    Returns:
        `(n,)` in [0, 1]; NaN where the mask is empty or the map has no mass on any object.
    """
    heatmaps, objects = checked_pair(heatmaps, objects)
    mass = np.maximum(heatmaps, 0) * objects
    return np.where(mass.any((1, 2)), energy_inside(mass, masks), np.nan)


POINTING = Protocol(
    name="pointing",
    title="Pointing",
    figures=(Figure("pointing_game", "Pointing game"), Figure("energy_inside", "Energy inside")),
    measure=lambda heatmaps, masks: {
        "pointing_game": pointing_game(heatmaps, masks),
        "energy_inside": energy_inside(heatmaps, masks),
    },
    summarize=means("pointing_game", "energy_inside"),
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Pointing game: any of tied maxima inside the mask or box, no margin. Energy: share of the positive mass "
    "inside. Maps of the true class, bilinear at the model's input size.",
)

OWN_OBJECT = Protocol(
    name="own_object",
    title="Own object",
    figures=(Figure("own_object", "Mass on own object"),),
    measure=lambda heatmaps, masks, objects: {"own_object": own_object(heatmaps, masks, objects)},
    summarize=means("own_object"),
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8"), "objects": (2, "uint8")},
    variant="Images with objects of several classes, every class explained: of the mass on any object, the share on "
    "the class's own. A map that does not depend on the class gets the share that falls there anyway.",
)
