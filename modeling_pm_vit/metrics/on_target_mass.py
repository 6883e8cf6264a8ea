"""
On-target mass: in an image with objects of several classes, the share of a class's map on that class's objects, of the
map's positive mass on objects of any class. Undefined for a map without mass on objects.
"""

import numpy as np

from .heatmaps import checked_pair, resized
from .metric import ExplainedImages, Metric, MetricValue, Records, means
from .pointing import energy_pointing_game


def on_target_mass(heatmaps: np.ndarray, masks: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`, each of a class that the image shows.
        masks: same shape: where that class is.
        objects: same shape: where objects of any class are.

    Returns:
        `(n,)` in [0, 1]; NaN where the mask is empty or the map has no mass on any object.
    """
    heatmaps, objects = checked_pair(heatmaps, objects)
    mass = np.maximum(heatmaps, 0) * objects
    return np.where(mass.any((1, 2)), energy_pointing_game(mass, masks), np.nan)


def _shows_several_classes(images: ExplainedImages) -> np.ndarray:
    return np.array([len(classes) > 1 for classes in images.classes])


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    """One value per image: the mean over the classes that it shows."""
    values = []
    for row in rows:
        planes, classes = images.planes[row], np.array(images.classes[row])
        heatmaps = resized(images.explain(np.full(len(classes), row), classes), images.pixel_values.shape[-2:])
        shares = on_target_mass(heatmaps, planes, np.broadcast_to(planes.any(0), planes.shape))
        values.append(np.nanmean(shares) if np.isfinite(shares).any() else np.nan)
    return {"on_target_mass": np.array(values, float)}


ON_TARGET_MASS = Metric(
    name="on_target_mass",
    title="On-target mass",
    values=(MetricValue("on_target_mass", "On-target mass"),),
    measure=lambda heatmaps, masks, objects: {"on_target_mass": on_target_mass(heatmaps, masks, objects)},
    summarize=means("on_target_mass"),
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8"), "objects": (2, "uint8")},
    variant="Images with objects of several classes, every class explained: the share of the map on the class's own "
    "objects, of its positive mass on any object. A map that does not depend on the class gets the share that lies "
    "there anyway.",
    eligible=_shows_several_classes,
    needs="images whose mask shows several classes",
    record=_record,
)
