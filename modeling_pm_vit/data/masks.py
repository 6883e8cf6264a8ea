"""What a dataset says of where things are, as binary planes of classes."""

from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

MaskEncoding = Literal["binary", "class_id", "imagenet_s", "box", "polygon"]
CLASS_ID_IGNORE = 65535  # in a 16-bit map of class ids
IMAGENET_S_IGNORE = 1000  # Gao et al., *Large-scale unsupervised semantic segmentation*, TPAMI 2022
_SUPERSAMPLING = 4  # pixels count as inside a polygon if at least half of them is


def decode_mask(value, encoding: MaskEncoding, label: int, size: tuple[int, int]) -> tuple[list[int], np.ndarray]:
    """
    Args:
        value: what the mask column holds; `None`, or an empty text or list, where nothing is known.
        encoding: `"binary"`: an image or array, non-zero where the image's class is; `"class_id"`: an image or array
            of class index + 1, 0 where there is none, 65535 where it is unknown; `"imagenet_s"`: an RGB image of
            R + 256 G = class index + 1, 0 for none, 1000 where it is unknown; `"box"`: `[x0, y0, x1, y1]` in pixels
            around the image's class (or a list of such); `"polygon"`: polygons `[x0, y0, x1, y1, ...]` in pixels around
            the image's class, or COCO's annotations, `{"category_id": class index, "segmentation": polygons}` each.
        label: the image's class.
        size: (height, width) of the image.

    Returns:
        The K class indices, and an array `(K, height, width)` of 0 and 1. K is 0 where nothing is known; a mask that
        is known to be empty gives the label with an empty plane.

    Raises:
        ValueError: if the mask is not of the image's size, or a box or polygon has not the coordinates it needs.
    """
    if value is None or (isinstance(value, (str, list, tuple)) and len(value) == 0):
        return [], np.zeros((0, *size), np.uint8)
    if encoding == "box":
        return [label], _draw_boxes(np.asarray(value, dtype=float), size)[None]
    if encoding == "polygon":
        return _draw_annotations(value, label, size)
    mask = _as_ids(value, encoding, size)
    if encoding == "binary":
        return [label], (mask > 0).astype(np.uint8)[None]
    shown = mask[~_is_ignored(mask, encoding)]
    classes = [int(value) - 1 for value in np.unique(shown) if value > 0] or [label]
    return classes, np.stack([mask == c + 1 for c in classes]).astype(np.uint8)


def ignored_pixels(value, encoding: MaskEncoding, size: tuple[int, int]) -> np.ndarray | None:
    """Where an image's mask says that nothing is known, boolean `(height, width)`; `None` if nowhere."""
    if value is None or encoding not in ("class_id", "imagenet_s"):
        return None
    ignored = _is_ignored(_as_ids(value, encoding, size), encoding)
    return ignored if ignored.any() else None


def _is_ignored(ids: np.ndarray, encoding: MaskEncoding) -> np.ndarray:
    return ids == (IMAGENET_S_IGNORE if encoding == "imagenet_s" else CLASS_ID_IGNORE)


def _as_ids(value, encoding: MaskEncoding, size: tuple[int, int]) -> np.ndarray:
    mask = np.asarray(value)
    if encoding == "imagenet_s" and mask.ndim == 3 and mask.shape[-1] >= 3:
        mask = mask[..., 0].astype(np.int32) + 256 * mask[..., 1].astype(np.int32)
    if mask.shape != size:
        raise ValueError(f"a mask must be of its image's size (height, width) = {size}, got {mask.shape}.")
    return mask


def _draw_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if boxes.shape[-1] != 4:
        raise ValueError(f"a box must be [x0, y0, x1, y1], got {boxes.tolist()}.")
    plane = np.zeros(size, np.uint8)
    for x0, y0, x1, y1 in boxes.reshape(-1, 4):
        plane[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = 1
    return plane


def _draw_annotations(value, label: int, size: tuple[int, int]) -> tuple[list[int], np.ndarray]:
    if not isinstance(value[0], dict):
        return [label], _draw_polygons(value, size)[None]
    planes: dict[int, np.ndarray] = {}
    for annotation in value:
        plane = _draw_polygons(annotation["segmentation"], size)
        category = int(annotation["category_id"])
        planes[category] = planes.get(category, 0) | plane
    return list(planes), np.stack(list(planes.values()))


def _draw_polygons(polygons, size: tuple[int, int]) -> np.ndarray:
    """Polygons, or one, whose parts are united; coordinates are those of pixels' corners, as in COCO."""
    if not isinstance(polygons, (list, tuple, np.ndarray)):
        raise ValueError(f"a polygon must be a list of coordinates, got {type(polygons).__name__}: decode it first.")
    if len(polygons) and np.isscalar(polygons[0]):
        polygons = [polygons]
    canvas = Image.new("1", (size[1] * _SUPERSAMPLING, size[0] * _SUPERSAMPLING))
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=float).ravel()
        if len(corners) < 6 or len(corners) % 2:
            raise ValueError(f"a polygon must be [x0, y0, x1, y1, x2, y2, ...], got {corners.tolist()}.")
        ImageDraw.Draw(canvas).polygon((corners * _SUPERSAMPLING - 0.5).tolist(), fill=1)
    parts = np.asarray(canvas).reshape(size[0], _SUPERSAMPLING, size[1], _SUPERSAMPLING)
    return (parts.mean((1, 3)) >= 0.5).astype(np.uint8)
