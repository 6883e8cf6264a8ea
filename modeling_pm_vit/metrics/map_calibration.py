"""
Expected calibration error per pixel: do the probabilities of a map agree with the masks?

Every pixel of every image is one prediction, 'the class is here', compared with the mask; 15 bins of equal width. Only
for maps whose values are probabilities. The map is not stretched.
"""

import numpy as np

from .calibration import bin_sums, calibration_error
from .heatmaps import checked_pair
from .metric import ExplainedImages, Metric, MetricValue, Records


def _measure(heatmaps: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> dict[str, np.ndarray]:
    heatmaps, masks = checked_pair(heatmaps, masks)
    known = None if ignore is None else ~np.asarray(ignore, bool).reshape(len(masks), -1)
    return {"bins": bin_sums(heatmaps.reshape(len(masks), -1), masks.reshape(len(masks), -1), known)}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.heatmaps[rows], images.masks[rows], images.ignore[rows])


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"pixel_calibration_error": calibration_error(records["bins"], weights)}


MAP_CALIBRATION = Metric(
    name="map_calibration",
    title="Calibration of the map",
    values=(MetricValue("pixel_calibration_error", "Calibration error per pixel", higher_is_better=False),),
    measure=_measure,
    summarize=_summarize,
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Expected calibration error of the true class's probability over all pixels, 15 bins of equal width; only "
    "for maps that are probabilities.",
    eligible=lambda images: images.has_mask & images.gives_probabilities,
    needs="images with a mask that is not empty, and an explainer whose maps are probabilities",
    record=_record,
)
