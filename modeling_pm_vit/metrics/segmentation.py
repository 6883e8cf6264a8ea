"""
Two-class segmentation (Guillaumin et al., *ImageNet auto-annotation*, 2014; as in Chefer et al., CVPR 2021).

Foreground: map > mean of the map, both stretched to 0 ... 1 in float32 as in the authors' code; a pixel equal to the
mean is none. Pixel accuracy and the mean IoU of the two classes from counts over the whole set. 'Two-class AP' is the
mean over images of one average precision over both classes' scores, [1 - map, map], with the stretched map (a constant
map scores 0 for both). It is computed in float32, as in the authors' code, where all values below 6e-8 give the same
1 - map; 'exact' is the same in float64. On one image with a narrow peak the two can differ by some hundredths.
'Foreground AP' takes the map's own pixels alone and is much lower: do not compare it with the two-class AP.

Mask IoU: mean over images of the foreground's IoU; a probability map is cut at 0.5 (what a user sees), others at their
mean. Ignored pixels are not counted; mean and stretch are those of the whole map.
"""

from collections.abc import Callable

import numpy as np

from .heatmaps import checked_pair, min_max
from .metric import ExplainedImages, Metric, MetricValue, Records, weighted_mean, weighted_sum
from .overlap import intersection_over_union


def foreground(heatmaps: np.ndarray, probabilities: bool = False) -> np.ndarray:
    """Boolean maps: above the mean, or, for probabilities, at least 0.5."""
    if probabilities:
        return heatmaps >= 0.5
    stretched = min_max(np.asarray(heatmaps, np.float32))
    return stretched > stretched.mean((1, 2), np.float64, keepdims=True).astype(np.float32)


def two_class_ap(scores: np.ndarray, mask: np.ndarray) -> float:
    """Average precision of [1 - scores, scores], in their own precision, over pixels `(k,)`; NaN without pixels."""
    if not mask.size:
        return float("nan")
    background = 1 - scores if scores.any() else scores  # in a constant map 0 / 0, which the authors' code sets to 0
    return _average_precision(np.concatenate([background, scores]), np.concatenate([~mask, mask]))


def foreground_ap(scores: np.ndarray, mask: np.ndarray) -> float:
    """Average precision of the scores `(k,)` alone; NaN without a pixel of the mask."""
    return _average_precision(scores, mask) if mask.any() else float("nan")


def _average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score  # seconds to import

    return float(average_precision_score(truth, scores))


def _measure(
    heatmaps: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None, probabilities: bool = False
) -> dict[str, np.ndarray]:
    heatmaps, masks = checked_pair(heatmaps, masks)
    known = np.ones(masks.shape, bool) if ignore is None else ~np.asarray(ignore, bool)
    predicted = foreground(heatmaps)
    published, exact = (min_max(heatmaps.astype(precision)) for precision in (np.float32, np.float64))
    agreement = (predicted & masks, predicted & ~masks, ~predicted & masks, ~predicted & ~masks)
    overlap = intersection_over_union(foreground(heatmaps, probabilities) & known, masks & known)

    def precisions(function: Callable[..., float], stretched: np.ndarray) -> np.ndarray:
        return np.array([function(s[k], m[k]) for s, m, k in zip(stretched, masks, known, strict=True)])

    return {
        "counts": np.stack([(part & known).sum((1, 2)) for part in agreement], 1),
        "two_class_ap": precisions(two_class_ap, published),
        "two_class_ap_exact": precisions(two_class_ap, exact),
        "foreground_ap": precisions(foreground_ap, exact),
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
        **{name: weighted_mean(records[name], weights) for name in _MEANS},
    }


_MEANS = ("two_class_ap", "two_class_ap_exact", "foreground_ap", "mask_iou")


SEGMENTATION = Metric(
    name="segmentation",
    title="Two-class segmentation",
    values=(
        MetricValue("pixel_accuracy", "Pixel accuracy"),
        MetricValue("mean_iou", "mIoU (two classes)"),
        MetricValue("two_class_ap", "Two-class AP"),
        MetricValue("two_class_ap_exact", "Two-class AP, exact"),
        MetricValue("foreground_ap", "Foreground AP"),
        MetricValue("mask_iou", "Mask IoU"),
    ),
    measure=_measure,
    summarize=_summarize,
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Map of the true class, bilinear at the model's input size, masks resized to it (nearest). Foreground "
    "above the map's mean, in float32; counts over the whole set; two-class AP over [1 - map, map] of the stretched "
    "map in float32, as in the authors' code ('exact': in float64), mean over images. Mask IoU: mean over images, "
    "probabilities cut at 0.5, other maps at their mean.",
    eligible=lambda images: images.has_mask,
    needs="images with a mask that is not empty",
    record=_record,
)
