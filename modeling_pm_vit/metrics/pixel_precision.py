"""
PxAP (Choe et al., CVPR 2020): area under the pixel precision-recall curve of the stretched map, over thresholds 0,
0.001, ..., 0.999, for the pixels of the whole set; ignored regions are left out.
"""

import numpy as np

from .boxes import STEPS, THRESHOLDS
from .heatmaps import checked_pair, min_max
from .metric import ExplainedImages, Metric, MetricValue, Records, weighted_sum


def pixel_histograms(heatmaps: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)`.
        masks: same shape, non-zero inside.
        ignore: same shape, non-zero where the truth is unknown.

    Returns:
        `(n, 1001, 2)`: in each step of 0.001 of the stretched map the pixels inside and outside the mask.
    """
    heatmaps, masks = checked_pair(heatmaps, masks)
    known = np.ones(masks.shape, bool) if ignore is None else ~np.asarray(ignore, bool)
    # Step i holds THRESHOLDS[i] <= value < THRESHOLDS[i + 1]; the last one holds 1.
    steps = np.searchsorted(np.append(THRESHOLDS[1:], 1), min_max(heatmaps), side="right")
    n, size = len(heatmaps), STEPS + 1
    index = np.arange(n)[:, None, None] * size + steps
    inside, outside = (np.bincount(index[known & part], minlength=n * size) for part in (masks, ~masks))
    return np.stack([inside, outside], -1).reshape(n, size, 2)


def _measure(heatmaps: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> dict[str, np.ndarray]:
    return {"pixel_histograms": pixel_histograms(heatmaps, masks, ignore)}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.bicubic_heatmaps[rows], images.masks[rows], images.ignore[rows])


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    counts = weighted_sum(records["pixel_histograms"], weights)[:, ::-1].cumsum(1)  # at or above each threshold
    inside, all_pixels = counts[..., 0], counts.sum(-1)
    precision = np.where(all_pixels > 0, inside / np.maximum(all_pixels, 1e-12), 0)
    positives = inside[:, -1:]
    recall = inside / np.where(positives > 0, positives, 1)
    area = (precision[:, 1:] * np.diff(recall, axis=1)).sum(1) + precision[:, 0] * recall[:, 0]
    return {"pxap": np.where(positives[:, 0] > 0, area, np.nan)}


PIXEL_PRECISION = Metric(
    name="pixel_precision",
    title="Pixel precision",
    values=(MetricValue("pxap", "PxAP"),),
    measure=_measure,
    summarize=_summarize,
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Area under the pixel precision-recall curve of the stretched map of the true class (bicubic at the "
    "model's input size), thresholds in steps of 0.001, pixels of the whole set; ignored regions left out.",
    eligible=lambda images: images.has_mask,
    needs="images with a mask that is not empty",
    record=_record,
)
