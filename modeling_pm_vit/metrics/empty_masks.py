"""
Images whose mask is empty, such as those of a class 'normal': does the map show nothing there?

No overlap, precision or pointing is defined for them, so they count in no other metric of masks. Recorded for maps that
are probabilities; n is the number of such images.
"""

import numpy as np

from .heatmaps import checked_heatmaps
from .metric import ExplainedImages, Metric, MetricValue, Records, means


def _measure(heatmaps: np.ndarray) -> dict[str, np.ndarray]:
    shown = checked_heatmaps(heatmaps) >= 0.5
    return {"empty_maps": (~shown.any((1, 2))).astype(float), "false_area": shown.mean((1, 2))}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.heatmaps[rows])


EMPTY_MASKS = Metric(
    name="empty_masks",
    title="Images with an empty mask",
    values=(
        MetricValue("empty_maps", "Empty maps"),
        MetricValue("false_area", "Area above 0.5", higher_is_better=False),
    ),
    measure=_measure,
    summarize=means("empty_maps", "false_area"),
    features={"heatmaps": (2, "float32")},
    variant="Images whose mask of the true class is known and empty; they count in no other metric of masks. Empty "
    "maps: share of the images where no pixel of the true class's map reaches 0.5. Area: mean share of the pixels that "
    "do. Only maps that are probabilities, bilinear at the model's input size.",
    eligible=lambda images: images.has_empty_mask & images.gives_probabilities,
    needs="images whose mask is empty, and an explainer whose maps are probabilities",
    record=_record,
)
