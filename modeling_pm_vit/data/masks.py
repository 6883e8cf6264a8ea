"""What a dataset says of where things are, as binary planes of classes."""

from typing import Literal

import numpy as np

MaskEncoding = Literal["binary", "class_id", "box"]


def decode_mask(value, encoding: MaskEncoding, label: int, size: tuple[int, int]) -> tuple[list[int], np.ndarray]:
    """
    Args:
        value: what the mask column holds; `None` where nothing is known.
        encoding: `"binary"`: an image or array, non-zero where the image's class is; `"class_id"`: an image or array
            of class index + 1, 0 where there is none; `"box"`: `[x0, y0, x1, y1]` in pixels around the image's class
            (or a list of such).
        label: the image's class.
        size: (height, width) of the image.

    Returns:
        The K class indices, and an array `(K, height, width)` of 0 and 1. K is 0 where nothing is known; a mask that
        is known to be empty gives the label with an empty plane.

    Raises:
        ValueError: if the mask is not of the image's size, or a box has no four coordinates.
    """
    if value is None:
        return [], np.zeros((0, *size), np.uint8)
    if encoding == "box":
        return [label], _draw_boxes(np.asarray(value, dtype=float), size)[None]
    mask = np.asarray(value)
    if mask.shape != size:
        raise ValueError(f"a mask must be of its image's size (height, width) = {size}, got {mask.shape}.")
    if encoding == "binary":
        return [label], (mask > 0).astype(np.uint8)[None]
    classes = [int(value) - 1 for value in np.unique(mask) if value > 0] or [label]
    return classes, np.stack([mask == c + 1 for c in classes]).astype(np.uint8)


def _draw_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if boxes.size == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"a box must be [x0, y0, x1, y1], got {boxes.tolist()}.")
    plane = np.zeros(size, np.uint8)
    for x0, y0, x1, y1 in boxes.reshape(-1, 4):
        plane[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = 1
    return plane
