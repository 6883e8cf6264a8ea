"""Localization with nothing chosen on the test set: Choe et al.'s rule that whatever is chosen is chosen on a held-out,
fully supervised split.

The thresholds are those that are best for the held-out images, one for MaxBoxAcc and one for each IoU of MaxBoxAccV2;
at these the test images are judged. All else is as in [`localization`].
"""

from collections.abc import Sequence

import numpy as np

from .localization import CUTS, IOU_THRESHOLDS, LOCALIZATION
from .metric import Figure, Protocol, Records, means, weighted_mean


def held_out_cuts(records: Records) -> tuple[int, np.ndarray]:
    """The best cuts for the records of held-out images: of the largest contour's box, and of any box for each IoU."""
    weights = np.ones((1, len(records["largest_hits"])))
    largest = weighted_mean(records["largest_hits"], weights)[0]  # (cuts,)
    either = weighted_mean(records["any_hits"], weights)[0]  # (cuts, IoU)
    if not np.isfinite(largest).any():
        raise ValueError("no held-out image has a box: no threshold can be chosen.")
    return int(largest.argmax()), either.argmax(0)


def at_held_out_thresholds(records: Records, held_out: Records) -> dict[str, np.ndarray]:
    """
    Args:
        records: of the localization protocol on the test images.
        held_out: of the same explainer on the held-out images.

    Returns:
        For each test image whether its boxes hit at the held-out images' thresholds.

    Raises:
        ValueError: if no held-out image has a box.
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
    held_out = LOCALIZATION.measure(heatmaps=held_out_heatmaps, boxes=held_out_boxes)
    return at_held_out_thresholds(LOCALIZATION.measure(heatmaps=heatmaps, boxes=boxes, correct=correct), held_out)


_FIGURES = (
    Figure("gt_known", "GT-known"),
    Figure("box_acc_v2", "BoxAccV2"),
    *(Figure(f"box_acc_{int(100 * iou)}", f"at IoU {iou:g}") for iou in IOU_THRESHOLDS),
    Figure("top1_localization", "Top-1 localization"),
    Figure("threshold", "Threshold", None, 1.0),
)

HELD_OUT_LOCALIZATION = Protocol(
    name="localization_held_out",
    title="Localization at held-out thresholds",
    figures=_FIGURES,
    measure=_measure,
    summarize=means(*(figure.name for figure in _FIGURES)),
    variant="As localization, but at the thresholds that are best for the held-out images: one for GT-known (box of "
    "the largest contour, IoU .5; printed as a share of the stretched map) and top-1 localization, one for each IoU of "
    "BoxAccV2 (best contour). Intervals are over test images only.",
)
