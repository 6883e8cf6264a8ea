"""
Two-class segmentation (Guillaumin et al., *ImageNet auto-annotation*, 2014; as in Chefer et al., CVPR 2021).

Foreground: map > mean of the map. Pixel accuracy and the mean IoU of the two classes from counts over the whole set.
'Two-class AP' is the mean over images of one average precision over both classes' scores, [1 - map, map], with the map
stretched to 0 ... 1 (a constant map scores 0 for both). 'Foreground AP' takes the map's own pixels alone and is much
lower: do not compare the two.

Mask IoU: mean over images of the foreground's IoU; a probability map is cut at 0.5 (what a user sees), others at their
mean. Ignored pixels are not counted; mean and stretch are those of the whole map.
"""

import numpy as np

from .heatmaps import checked_pair, min_max
from .metric import ExplainedImages, Metric, MetricValue, Records, weighted_mean, weighted_sum
from .overlap import intersection_over_union


def foreground(heatmaps: np.ndarray, probabilities: bool = False) -> np.ndarray:
    """Boolean maps: above the mean, or, for probabilities, at least 0.5."""
    if probabilities:
        return heatmaps >= 0.5
    mean, low = heatmaps.mean((1, 2), keepdims=True), heatmaps.min((1, 2), keepdims=True)
    return (heatmaps > mean) & (heatmaps > low)  # the lowest value is never above the mean, however that is rounded


def average_precisions(heatmap: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """
    Two-class and foreground AP of the pixels of one map, stretched to 0 ... 1. The first is NaN without pixels, the
    second without a pixel of the mask.
    """
    from sklearn.metrics import average_precision_score  # seconds to import

    heatmap, mask = heatmap.ravel(), mask.ravel()
    if not mask.size:
        return float("nan"), float("nan")
    background = 1 - heatmap if heatmap.any() else heatmap
    both = average_precision_score(np.concatenate([~mask, mask]), np.concatenate([background, heatmap]))
    return float(both), float(average_precision_score(mask, heatmap)) if mask.any() else float("nan")


def _measure(
    heatmaps: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None, probabilities: bool = False
) -> dict[str, np.ndarray]:
    heatmaps, masks = checked_pair(heatmaps, masks)
    known = np.ones(masks.shape, bool) if ignore is None else ~np.asarray(ignore, bool)
    predicted, stretched = foreground(heatmaps), min_max(heatmaps)
    agreement = (predicted & masks, predicted & ~masks, ~predicted & masks, ~predicted & ~masks)
    precisions = [average_precisions(m[k], t[k]) for m, t, k in zip(stretched, masks, known, strict=True)]
    overlap = intersection_over_union(foreground(heatmaps, probabilities) & known, masks & known)
    return {
        "counts": np.stack([(part & known).sum((1, 2)) for part in agreement], 1),
        "two_class_ap": np.array([two for two, _ in precisions]),
        "foreground_ap": np.array([one for _, one in precisions]),
        "mask_iou": np.where((masks & known).any((1, 2)), overlap, np.nan),
    }


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.heatmaps[rows], images.masks[rows], images.ignore[rows], images.gives_probabilities)


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    both, only_map, only_mask, neither = weighted_sum(records["counts"], weights).T
    common = np.stack([both, neither])
    union = common + only_map + only_mask
    occurs = union > 0  # a class that is neither predicted nor true is left out
    ious = np.where(occurs, common / np.where(occurs, union, 1), 0)
    pixels, classes = both + only_map + only_mask + neither, occurs.sum(0)
    return {
        "pixel_accuracy": np.where(pixels > 0, (both + neither) / np.where(pixels > 0, pixels, 1), np.nan),
        "mean_iou": np.where(classes > 0, ious.sum(0) / np.maximum(classes, 1), np.nan),
        **{name: weighted_mean(records[name], weights) for name in ("two_class_ap", "foreground_ap", "mask_iou")},
    }


SEGMENTATION = Metric(
    name="segmentation",
    title="Two-class segmentation",
    values=(
        MetricValue("pixel_accuracy", "Pixel accuracy"),
        MetricValue("mean_iou", "mIoU (two classes)"),
        MetricValue("two_class_ap", "Two-class AP"),
        MetricValue("foreground_ap", "Foreground AP"),
        MetricValue("mask_iou", "Mask IoU"),
    ),
    measure=_measure,
    summarize=_summarize,
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Map of the true class, bilinear at the model's input size, masks resized to it (nearest). Foreground "
    "above the map's mean; counts over the whole set; two-class AP over [1 - map, map] of the stretched map, mean over "
    "images. Mask IoU: mean over images, probabilities cut at 0.5, other maps at their mean.",
    eligible=lambda images: images.has_mask,
    record=_record,
)
