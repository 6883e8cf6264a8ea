"""
Weakly supervised localization (Choe et al., *Evaluating weakly supervised object localization methods right*, CVPR
2020).

MaxBoxAcc: the box of the largest contour has IoU >= 0.5 with a true box, at the best threshold for the set.
MaxBoxAccV2: the box of any contour, for IoU 0.3, 0.5 and 0.7, each at its own best threshold, then the mean. Top-1
localization: as MaxBoxAcc, and the predicted class is correct. The threshold is chosen on the evaluated set itself, as
the measures are defined. [`boxes`] has the details.
"""

import numpy as np

from .boxes import box_records
from .held_out_localization import HELD_OUT_LOCALIZATION, at_held_out_thresholds
from .metric import ExplainedImages, HeldOut, Metric, MetricValue, Records, weighted_mean


def _has_boxes(images: ExplainedImages) -> np.ndarray:
    return np.array([len(boxes) > 0 for boxes in images.boxes])


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return box_records(
        heatmaps=images.bicubic_heatmaps[rows],
        boxes=[images.boxes[row] for row in rows],
        correct=(images.predicted == images.labels)[rows],
    )


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    largest = weighted_mean(records["largest_hits"], weights)  # (resamples, cuts)
    either = weighted_mean(records["any_hits"], weights)  # (resamples, cuts, IoU)
    both = weighted_mean(records["largest_hits"] * records["correct"][:, None], weights)
    best = np.take_along_axis(both, largest.argmax(1)[:, None], 1)[:, 0]
    return {"max_box_acc": largest.max(1), "max_box_acc_v2": either.max(1).mean(1), "top1_localization": best}


LOCALIZATION = Metric(
    name="localization",
    title="Localization",
    values=(
        MetricValue("max_box_acc", "MaxBoxAcc"),
        MetricValue("max_box_acc_v2", "MaxBoxAccV2"),
        MetricValue("top1_localization", "Top-1 localization"),
    ),
    measure=box_records,
    summarize=_summarize,
    features={"heatmaps": (2, "float32"), "boxes": (2, "float32"), "correct": (0, "float32")},
    variant="Map of the true class, bicubic at the model's input size, stretched, cut at 1,000 thresholds; boxes of "
    "contours; +1 convention. MaxBoxAcc: largest contour, IoU 0.5, best threshold on the set (GT-known). MaxBoxAccV2: "
    "best contour, mean over IoU 0.3, 0.5, 0.7 of the best thresholds. Top-1 localization: at MaxBoxAcc's threshold, "
    "where the class is correct too.",
    eligible=_has_boxes,
    needs="images with a mask or box",
    record=_record,
    held_out=HeldOut(HELD_OUT_LOCALIZATION, at_held_out_thresholds),
)
