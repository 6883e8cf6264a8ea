"""Pseudo masks compared with true boxes, which were not used to make them."""

from pathlib import Path

import numpy as np

from ..data.columns import require_columns
from ..data.decoding import decode_value
from ..data.rows import Rows
from ..data.sources import open_rows
from ..metrics.boxes import IOU_THRESHOLDS, box_iou, boxes_of
from .batch import scaled_boxes


def evaluate_masks(folder: Path, split: str, source: Rows, box_column: str = "box") -> dict[str, float]:
    """
    How often the box of a mask's largest contour matches a true box, with the boxes and IoU of localization, at the
    images' own sizes; there is no threshold to choose.

    Args:
        folder: that `pm-vit pseudo-masks` wrote.
        split: name of the split.
        source: of the images that the masks were made for, each with one or several boxes `[x0, y0, x1, y1]` in pixels.
        box_column: of the source.

    Returns:
        `box_acc_30`, `box_acc_50`, `box_acc_70` and their mean `box_acc_v2` over all images that have a box (an
        image without a mask is a miss); `box_acc_v2_of_masks` over those that have a mask.

    Raises:
        InputError: if the source has no such column.
    """
    require_columns(source.name, source.features, {"--box_column": box_column})
    overlaps, has_mask = [], []
    masked = open_rows(str(folder), split, streaming=True)
    for i in range(len(masked)):
        row = masked[i]
        boxes = source[row["row"]][box_column]
        if boxes is None or not len(boxes):
            continue
        mask = decode_value(row["mask"])
        has_mask.append(mask is not None)
        if mask is None:
            overlaps.append(0.0)
            continue
        size = (mask.height, mask.width)
        found, largest = boxes_of(np.asarray(mask))
        overlaps.append(box_iou(found[largest][None], scaled_boxes(boxes, size, size)).max())
    hits = np.array(overlaps)[:, None] >= np.array(IOU_THRESHOLDS)  # (images, IoU)
    values = {f"box_acc_{int(100 * iou)}": float(h) for iou, h in zip(IOU_THRESHOLDS, hits.mean(0), strict=True)}
    values["box_acc_v2"] = float(hits.mean())
    values["box_acc_v2_of_masks"] = float(hits[np.array(has_mask)].mean()) if any(has_mask) else float("nan")
    return values
