"""
Localization with thresholds chosen on a held-out, fully supervised split, as Choe et al. require.

One threshold for MaxBoxAcc and one for each IoU of MaxBoxAccV2: those that are best for the held-out images. The test
images are evaluated at these. Everything else is as in [`localization`].
"""

from collections.abc import Sequence

import numpy as np

from ..utils.errors import InputError
from .boxes import CUTS, IOU_THRESHOLDS, box_records
from .metric import Metric, MetricValue, Records, means, weighted_mean


def held_out_cuts(records: Records) -> tuple[int, np.ndarray]:
    """The best cuts for the records of held-out images: of the largest contour's box, and of any box for each IoU."""
    weights = np.ones((1, len(records["largest_hits"])))
    largest = weighted_mean(records["largest_hits"], weights)[0]  # (cuts,)
    either = weighted_mean(records["any_hits"], weights)[0]  # (cuts, IoU)
    if not np.isfinite(largest).any():
        raise InputError("no held-out image has a box: no threshold can be chosen.")
    return int(largest.argmax()), either.argmax(0)


def at_held_out_thresholds(records: Records, held_out: Records) -> dict[str, np.ndarray]:
    """
    Args:
        records: of [`LOCALIZATION`] on the test images.
        held_out: of the same explainer on the held-out images.

    Returns:
        For each test image whether its boxes hit at the held-out images' thresholds.

    Raises:
        InputError: if no held-out image has a box.
    """
    cut, cuts = held_out_cuts(held_out)
    largest, either = records["largest_hits"][:, cut], records["any_hits"][:, cuts, range(len(cuts))]
    found = {f"box_acc_{int(100 * iou)}": either[:, i] for i, iou in enumerate(IOU_THRESHOLDS)}
    found |= {"gt_known": largest, "box_acc_v2": either.mean(1), "top1_localization": largest * records["correct"]}
    found["threshold"] = np.full(len(largest), CUTS[cut] / 255)
    return {name: records[name] for name in ("image",) if name in records} | found


def _measure(
    heatmaps: np.ndarray,
    boxes: Sequence[np.ndarray],
    held_out_heatmaps: np.ndarray,
    held_out_boxes: Sequence[np.ndarray],
    correct: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    held_out = box_records(held_out_heatmaps, held_out_boxes)
    return at_held_out_thresholds(box_records(heatmaps, boxes, correct), held_out)


_VALUES = (
    MetricValue("gt_known", "GT-known"),
    MetricValue("box_acc_v2", "BoxAccV2"),
    *(MetricValue(f"box_acc_{int(100 * iou)}", f"at IoU {iou:g}") for iou in IOU_THRESHOLDS),
    MetricValue("top1_localization", "Top-1 localization"),
    MetricValue("threshold", "Threshold", None, 1.0),
)

HELD_OUT_LOCALIZATION = Metric(
    name="localization_held_out",
    title="Localization at held-out thresholds",
    values=_VALUES,
    measure=_measure,
    summarize=means(*(value.name for value in _VALUES)),
    variant="As localization, but at the thresholds that are best for the held-out images: one for GT-known (box of "
    "the largest contour, IoU 0.5; printed as a share of the stretched map) and top-1 localization, one for each IoU "
    "of BoxAccV2 (best contour). Intervals are over test images only.",
)
