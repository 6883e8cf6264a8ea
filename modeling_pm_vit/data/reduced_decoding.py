"""
Decodes large JPEGs at a fraction of their size, by libjpeg's scaled transform, where a crop of them still has more
pixels than the model's input. Crops and masks follow.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from ..image_loading_pm_vit import MAX_PIXELS, load_image
from .augmentation.parameters import SHAPES, Augmentation, AugmentationSettings
from .decoding import decode_value

_SCALES = (8, 4, 2)  # of libjpeg: an image is decoded at one over these
Size = tuple[int, int]


def scale_for_crop(crop: Size, size: Size) -> int:
    """
    The largest scale at which a crop (height, width) does not become smaller than the model's input.

    Example:
        >>> scale_for_crop((460, 900), (224, 224)), scale_for_crop((1000, 900), (224, 224))
        (2, 4)
    """
    least = min(side / new for side, new in zip(crop, size, strict=True))
    return next((scale for scale in _SCALES if scale <= least), 1)


def scale_for_any_crop(image_size: Size, size: Size, settings: AugmentationSettings) -> int:
    """As [`scale_for_crop`], for the smallest crop that may be drawn."""
    height, width = image_size
    if settings.crop_padding:
        return scale_for_crop(image_size, size)
    side = min(sqrt(settings.min_crop_scale * height * width * min(SHAPES)), height, width)
    return scale_for_crop((int(side), int(side)), size)


def scaled(augmentation: Augmentation, scale: int) -> Augmentation:
    """The augmentation of an image that was decoded at one over `scale`: its crop begins and ends at whole pixels."""
    if scale == 1:
        return augmentation
    top, left, height, width = augmentation.crop
    (top, bottom), (left, right) = (
        (round(start / scale), round((start + length) / scale)) for start, length in ((top, height), (left, width))
    )
    return replace(augmentation, crop=(top, left, max(1, bottom - top), max(1, right - left)))


def decode_reduced(value: Any, scale_of: Callable[[Size], int]) -> tuple[Image.Image, Size, int]:
    """
    Args:
        value: of an image column, as [`decode_value`] takes it.
        scale_of: from the (height, width) of the image to the scale at which it may be decoded: 1, 2, 4 or 8.

    Returns:
        The image in RGB, its full (height, width), and the scale. Only upright JPEGs are reduced, to sides that are
        rounded up.

    Raises:
        ValueError, FileNotFoundError: as [`decode_value`].
    """
    opened = _opened_jpeg(value)
    if opened is None:
        image = load_image(decode_value(value))
        return image, (image.height, image.width), 1
    width, height = opened.size
    scale = scale_of((height, width))
    if scale > 1:
        opened.draft(None, (width // scale, height // scale))
    return load_image(opened), (height, width), scale


def reduce_planes(planes: np.ndarray, scale: int) -> np.ndarray:
    """From masks `(K, height, width)` of 0 and 1 to those of an image decoded at one over `scale`, 0 ... 255."""
    count, height, width = planes.shape
    planes = np.pad(planes, ((0, 0), (0, -height % scale), (0, -width % scale)), mode="edge")
    blocks = planes.reshape(count, planes.shape[1] // scale, scale, planes.shape[2] // scale, scale)
    covered = blocks.sum((2, 4), dtype=np.uint16)  # of the scale² pixels of a block
    return np.round(covered * (255 / scale**2)).astype(np.uint8)


def _opened_jpeg(value: Any) -> Image.Image | None:
    """A JPEG whose pixels are not decoded yet; `None` for anything else, which [`decode_value`] reads or refuses."""
    if isinstance(value, Mapping) and set(value) in ({"bytes", "path"}, {"bytes"}, {"path"}):
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
        value = Path(value) if isinstance(value, str) else value
    if not isinstance(value, bytes) and not (isinstance(value, Path) and value.is_file()):
        return None
    try:
        image = Image.open(BytesIO(value) if isinstance(value, bytes) else value, formats=["JPEG"])
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except Exception:  # what is wrong with it, the usual decoding says
        return None
    return image if upright and image.width * image.height <= MAX_PIXELS else None
