"""
Bounding boxes of a thresholded map (Choe et al., *Evaluating weakly supervised object localization methods right*, CVPR
2020), exactly as their code finds them.

The map is stretched to 0 ... 1 (constant or NaN: 0 everywhere) and converted to bytes. For each of 1,000 thresholds t
it is cut at > int(t max), and each remaining contour gives its bounding box. IoU counts pixels inclusively (+1).
"""

from collections.abc import Sequence

import cv2
import numpy as np

from .heatmaps import checked_heatmaps, min_max

IOU_THRESHOLDS = (0.3, 0.5, 0.7)
STEPS = 1000
THRESHOLDS = np.arange(0, 1, 1 / STEPS)  # rounded as in the authors' code
# Bytes cut at > int(t 255): only these of the 1,000 thresholds differ. A map of zeros has no contour at any of them.
CUTS = sorted({int(t * 255) for t in THRESHOLDS})


def boxes_of(binary: np.ndarray) -> tuple[np.ndarray, int]:
    """
    The image processor's `largest_box` differs: it travels with the weights and cannot use OpenCV; its largest part has
    the most pixels, not the largest area within its contour; holes are no parts; and its ends are exclusive at the
    border too. For one part without holes both agree except at the border.

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
        For each distinct threshold: 1 where the largest contour's box reaches IoU 0.5 `(cuts,)`, and where any
        contour's box reaches 0.3, 0.5, 0.7 `(cuts, 3)`, else 0. NaN without true boxes.
    """
    largest_hits, any_hits = np.full(len(CUTS), np.nan), np.full((len(CUTS), len(IOU_THRESHOLDS)), np.nan)
    if not len(boxes):
        return largest_hits, any_hits
    grey = (min_max(checked_heatmaps(heatmap[None]))[0] * 255).astype(np.uint8)
    size_before, hits = None, (np.False_, np.zeros(len(IOU_THRESHOLDS), bool))
    for i, cut in enumerate(CUTS):
        binary = grey > cut
        size = np.count_nonzero(binary)
        if size != size_before:  # cuts nest: equally many pixels are the same pixels
            found, largest = boxes_of(binary)
            overlap = box_iou(found, boxes)
            size_before = size
            hits = (overlap[largest].max() >= 0.5, overlap.max() >= np.array(IOU_THRESHOLDS))
        largest_hits[i], any_hits[i] = hits
    return largest_hits, any_hits


def box_records(
    heatmaps: np.ndarray, boxes: Sequence[np.ndarray], correct: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """
    Args:
        heatmaps: `(n, height, width)`.
        boxes: for each image its true boxes `(m, 4)`.
        correct: `(n,)`: whether the class was predicted correctly; by default unknown.

    Returns:
        `largest_hits` `(n, cuts)` and `any_hits` `(n, cuts, 3)` as in [`box_hits`], and `correct` `(n,)`.

    Raises:
        ValueError: if maps and boxes differ in number.
    """
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
