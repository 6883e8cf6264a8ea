"""Weakly supervised localization (Choe et al., *Evaluating weakly supervised object localization methods right*, CVPR
2020).

The map is resized bicubically to the image, stretched to 0 ... 1 (constant or NaN: 0 everywhere) and to bytes; for each
of 1,000 thresholds t it is cut at > int(t max), and every contour that is left gives its bounding box. IoU counts
pixels inclusively (+1).

MaxBoxAcc: the box of the largest contour meets a true box with IoU >= .5, at the best threshold for the set.
MaxBoxAccV2: any contour's box, for IoU .3, .5 and .7, each at its own best threshold, then the mean. Top-1
localization: as MaxBoxAcc, counted only where the class was predicted rightly. The threshold is chosen on the set
itself, as the measures define.

PxAP: area under the pixel precision-recall curve of the stretched map, over thresholds 0, .001, ..., .999, for the
pixels of the whole set; ignored regions left out.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .heatmaps import checked_heatmaps, checked_pair, min_max
from .metric import Figure, Protocol, Records, weighted_mean, weighted_sum

IOU_THRESHOLDS = (0.3, 0.5, 0.7)
STEPS = 1000
THRESHOLDS = np.arange(0, 1, 1 / STEPS)  # rounded as in the authors' code
# Bytes cut at > int(t 255): of the 1,000 thresholds only these differ. A map of zeros has no contour at any of them.
CUTS = sorted({int(t * 255) for t in THRESHOLDS})


def boxes_of(binary: np.ndarray) -> tuple[np.ndarray, int]:
    """
    Boxes exactly as Choe et al.'s code finds them. The image processor's `largest_box` is another implementation: it
    travels with the weights, so it cannot use OpenCV; its largest part is that of most pixels, not of the largest area
    within its contour; holes are no parts; and its ends are exclusive at the border too. For one part without holes the
    two agree but for that border.

    Args:
        binary: `(height, width)`, non-zero inside.

    Returns:
        The bounding boxes `(contours, 4)` of all contours as `x0, y0, x1, y1`, where `x1 = min(x0 + width, W - 1)`, and
        the index of the contour of the largest area. Without a contour, the one box 0, 0, 0, 0.
    """
    height, width = binary.shape
    contours, _ = cv2.findContours(binary.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros((1, 4), int), 0
    boxes = np.array([cv2.boundingRect(contour) for contour in contours])
    corners = np.minimum(boxes[:, :2] + boxes[:, 2:], (width - 1, height - 1))
    return np.hstack([boxes[:, :2], corners]), int(np.argmax([cv2.contourArea(contour) for contour in contours]))


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU `(n, m)` of boxes `(n, 4)` and `(m, 4)`, `x0, y0, x1, y1` inclusive: a box is `x1 - x0 + 1` wide."""
    boxes, others = np.asarray(boxes, float)[:, None], np.asarray(others, float)[None]
    overlap = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2]) + 1
    common = overlap.clip(min=0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2] + 1).prod(-1) for b in (boxes, others)]
    return common / (areas[0] + areas[1] - common)


def box_hits(heatmap: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Args:
        heatmap: `(height, width)`, at the image's size.
        boxes: `(m, 4)` true boxes in the same pixels.

    Returns:
        For each distinct threshold: 1 where the largest contour's box reaches IoU .5 `(cuts,)`, and where any contour's
        reaches .3, .5, .7 `(cuts, 3)`, else 0. NaN without true boxes.
    """
    largest_hits, any_hits = np.full(len(CUTS), np.nan), np.full((len(CUTS), len(IOU_THRESHOLDS)), np.nan)
    if not len(boxes):
        return largest_hits, any_hits
    grey = (min_max(checked_heatmaps(heatmap[None]))[0] * 255).astype(np.uint8)
    before, found = None, None
    for i, cut in enumerate(CUTS):
        binary = grey > cut
        size = np.count_nonzero(binary)
        if size != before:  # cuts nest: equally many pixels are the same pixels
            found, largest = boxes_of(binary)
            overlap = box_iou(found, boxes)
            before, found = size, (overlap[largest].max() >= 0.5, overlap.max() >= np.array(IOU_THRESHOLDS))
        largest_hits[i], any_hits[i] = found
    return largest_hits, any_hits


def _measure(
    heatmaps: np.ndarray, boxes: Sequence[np.ndarray], correct: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    heatmaps = np.asarray(heatmaps)
    if len(boxes) != len(heatmaps):
        raise ValueError(f"expected the boxes of {len(heatmaps)} images, got {len(boxes)}.")
    hits = [box_hits(heatmap, np.reshape(b, (-1, 4))) for heatmap, b in zip(heatmaps, boxes, strict=True)]
    correct = np.full(len(heatmaps), np.nan) if correct is None else np.asarray(correct, float)
    return {
        "largest_hits": np.array([largest for largest, _ in hits]),
        "any_hits": np.array([either for _, either in hits]),
        "correct": correct,
    }


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    largest = weighted_mean(records["largest_hits"], weights)  # (resamples, cuts)
    either = weighted_mean(records["any_hits"], weights)  # (resamples, cuts, IoU)
    both = weighted_mean(records["largest_hits"] * records["correct"][:, None], weights)
    best = np.take_along_axis(both, largest.argmax(1)[:, None], 1)[:, 0]
    return {"max_box_acc": largest.max(1), "max_box_acc_v2": either.max(1).mean(1), "top1_localization": best}


LOCALIZATION = Protocol(
    name="localization",
    title="Localization",
    figures=(
        Figure("max_box_acc", "MaxBoxAcc"),
        Figure("max_box_acc_v2", "MaxBoxAccV2"),
        Figure("top1_localization", "Top-1 localization"),
    ),
    measure=_measure,
    summarize=_summarize,
    features={"heatmaps": (2, "float32"), "boxes": (2, "float32"), "correct": (0, "float32")},
    variant="Map of the true class, bicubic at the model's input size, stretched, cut at 1,000 thresholds; boxes of "
    "contours; +1 convention. MaxBoxAcc: largest contour, IoU .5, best threshold on the set (GT-known). MaxBoxAccV2: "
    "best contour, mean over IoU .3, .5, .7 of the best thresholds. Top-1 localization: at MaxBoxAcc's threshold, "
    "where the class is right too.",
)


def pixel_histograms(heatmaps: np.ndarray, masks: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """
    Of maps `(n, height, width)`, stretched: pixels in each step of .001 that the mask holds or not, `(n, 1001, 2)`.
    """
    heatmaps, masks = checked_pair(heatmaps, masks)
    known = np.ones(masks.shape, bool) if ignore is None else ~np.asarray(ignore, bool)
    # Step i holds THRESHOLDS[i] <= value < THRESHOLDS[i + 1]; the last one holds 1.
    steps = np.searchsorted(np.append(THRESHOLDS[1:], 1), min_max(heatmaps), side="right")
    n, size = len(heatmaps), STEPS + 1
    index = np.arange(n)[:, None, None] * size + steps
    inside, outside = (np.bincount(index[known & part], minlength=n * size) for part in (masks, ~masks))
    return np.stack([inside, outside], -1).reshape(n, size, 2)


def _summarize_pixels(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    counts = weighted_sum(records["pixel_histograms"], weights)[:, ::-1].cumsum(1)  # at or above each threshold
    inside, all_pixels = counts[..., 0], counts.sum(-1)
    precision = np.where(all_pixels > 0, inside / np.maximum(all_pixels, 1e-12), 0)
    positives = inside[:, -1:]
    recall = inside / np.where(positives > 0, positives, 1)
    area = (precision[:, 1:] * np.diff(recall, axis=1)).sum(1) + precision[:, 0] * recall[:, 0]
    return {"pxap": np.where(positives[:, 0] > 0, area, np.nan)}


PIXEL_PRECISION = Protocol(
    name="pixel_precision",
    title="Pixel precision",
    figures=(Figure("pxap", "PxAP"),),
    measure=lambda heatmaps, masks, ignore=None: {"pixel_histograms": pixel_histograms(heatmaps, masks, ignore)},
    summarize=_summarize_pixels,
    features={"heatmaps": (2, "float32"), "masks": (2, "uint8")},
    variant="Area under the pixel precision-recall curve of the stretched map of the true class (bicubic at the "
    "model's input size), thresholds in steps of .001, pixels of the whole set; ignored regions left out.",
)
