"""The values of mask images: which of them are the object, which are unknown, and what cannot be told apart."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from ..utils.errors import InputError

Ranges = tuple[tuple[float, float], ...]  # of values, ends included

# A lossless mask of more values than these is one of grey levels (an enlarged mask has them along its edges), if at
# least these parts of its pixels are near black or white, and some are near white. Fewer values are classes or marks.
_MAX_MARKS, _SHARE, _NEAR = 16, 0.8, 1 / 8
_JPEG_TOLERANCE = 16  # largest difference of the channels of a grey JPEG


def value_ranges(texts: Iterable[str], option: str) -> Ranges:
    """
    Values and ranges of values as a user writes them.

    Raises:
        InputError: if one is neither; names the option.

    Example:
        >>> value_ranges(["1", "128-255"], "--mask_foreground")
        ((1.0, 1.0), (128.0, 255.0))
    """
    ranges = []
    for text in texts:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", str(text))
        if not match:
            raise InputError(f"{option} takes values such as 3 and ranges such as 128-255, got {text!r}.")
        ranges.append((float(match[1]), float(match[2] or match[1])))
    return tuple(ranges)


def within(pixels: np.ndarray, ranges: Ranges) -> np.ndarray:
    """Boolean: the pixels whose values are in one of the ranges."""
    inside = np.zeros(pixels.shape, bool)
    for low, high in ranges:
        inside |= (pixels >= low) & (pixels <= high)
    return inside


def mask_pixels(value: Any, encoding: str) -> np.ndarray:
    """
    The values of a mask `(height, width)`.

    A palette image gives its indices, or, for a binary mask, its grey levels where all colours that it shows are grey.
    An image of three equal channels gives one of them; opaque alpha is dropped.

    Args:
        value: an image, or an array `(height, width)` or `(height, width, 1, 3 or 4)`.
        encoding: `"binary"` or `"class_id"`.

    Raises:
        InputError: if the mask shows colours, or is in part transparent; says what was found.
    """
    if isinstance(value, Image.Image):
        if value.mode == "P":
            return _palette_values(value, grey_levels=encoding == "binary")
        if value.mode not in ("1", "L", "I", "F", "LA", "RGB", "RGBA") and not value.mode.startswith("I;16"):
            value = value.convert("RGBA" if value.mode in ("PA", "La", "RGBa") else "RGB")
    pixels = np.asarray(value)
    if pixels.ndim != 3 or pixels.shape[-1] > 4:
        return pixels
    if pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1]
        if (alpha != alpha.max()).any():
            raise InputError(
                "the mask is in part transparent (its alpha channel has several values); expected an opaque image of "
                "one channel: save the mask without transparency."
            )
        pixels = pixels[..., :-1]
    spread = pixels.max(-1).astype(float) - pixels.min(-1)
    if (spread > (_JPEG_TOLERANCE if is_jpeg(value) else 0)).any():
        raise InputError(
            f"the mask is coloured ({_colours(pixels)}); expected grey levels, or a number of one channel for each "
            "class: convert the colours to numbers."
        )
    return pixels[..., 0]


def object_pixels(pixels: np.ndarray, foreground: Ranges | None, ignore: Ranges, jpeg: bool) -> np.ndarray:
    """
    Where a binary mask shows its object, boolean.

    With `foreground` these values are the object. Otherwise the mask has one value besides 0 (and besides the ignored
    ones), or grey levels with an object of at least half of the full range.

    Args:
        pixels: `(height, width)`.
        foreground, ignore: values as [`value_ranges`] gives them.
        jpeg: the mask was stored as a JPEG, which changes values.

    Raises:
        InputError: if the values leave open what the object is; names them and the options.
    """
    if foreground is not None:
        return within(pixels, foreground)
    ignored = within(pixels, ignore)
    known = pixels[~ignored] if ignore else pixels
    values = distinct_values(known)
    if np.count_nonzero(values) <= 1:
        return (pixels > 0) & ~ignored
    half = _half_of_grey_levels(known, values, jpeg)
    if half is not None:
        return (pixels >= half) & ~ignored
    raise InputError(
        f"a binary mask has one value besides 0, found {described_values(known)}: name the values of the object and "
        f"those that are unknown, such as {_example(values)}."
    )


def has_grey_levels(pixels: np.ndarray, ignore: Ranges, jpeg: bool) -> bool:
    """Whether [`object_pixels`] takes half of the full range as the limit of the object."""
    known = pixels[~within(pixels, ignore)]
    values = distinct_values(known)
    return bool(np.count_nonzero(values) > 1) and _half_of_grey_levels(known, values, jpeg) is not None


def _half_of_grey_levels(known: np.ndarray, values: np.ndarray, jpeg: bool) -> float | None:
    """Half of the full range if the values are grey levels of a binary mask; `None` if they are marks or classes."""
    full = 1.0 if known.dtype.kind == "f" and values[-1] <= 1 else 255.0 if values[-1] <= 255 else 65535.0
    if jpeg:
        return 128.0 if values[-1] >= 128 else None
    near = (known <= _NEAR * full) | (known >= (1 - _NEAR) * full)
    grey = len(values) > _MAX_MARKS and values[-1] >= (1 - _NEAR) * full and near.mean() >= _SHARE
    return (full + 1) / 2 if grey and full > 1 else full / 2 if grey else None


def distinct_values(pixels: np.ndarray) -> np.ndarray:
    """As `np.unique`, without sorting where the values are few."""
    if pixels.dtype in (bool, np.uint8):
        return np.flatnonzero(np.bincount(pixels.ravel().astype(np.uint8), minlength=256))
    return np.unique(pixels)


def is_jpeg(value: Any) -> bool:
    return getattr(value, "format", None) in ("JPEG", "MPO")


def described_values(pixels: np.ndarray) -> str:
    """
    Example:
        >>> described_values(np.array([1, 1, 3, 2]))
        '1 (50 %), 2 (25 %), 3 (25 %)'
    """
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) > _MAX_MARKS:
        return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
    return ", ".join(
        f"{value:g} ({n / counts.sum():.0%})".replace("%", " %") for value, n in zip(values, counts, strict=True)
    )


def _example(values: np.ndarray) -> str:
    found = set(values.tolist())
    if found <= {1, 2, 3}:
        return "--mask_foreground 1 --mask_ignore 3 for the trimaps of Oxford-IIIT Pet"
    if len(found) > _MAX_MARKS:
        return f"--mask_foreground {np.ceil(max(found) / 2):g}-{max(found):g}"
    if 255 in found and len(found) > 2:
        return "--mask_ignore 255"
    return f"--mask_foreground {max(found):g}"


def _palette_values(image: Image.Image, grey_levels: bool) -> np.ndarray:
    pixels = np.asarray(image)
    palette = np.array(image.getpalette() or [], int).reshape(-1, 3)
    shown = np.unique(pixels)
    if not grey_levels or shown.max(initial=0) >= len(palette) or (palette[shown] != palette[shown][:, :1]).any():
        return pixels
    return palette[:, 0].astype(np.uint8)[pixels]


def _colours(pixels: np.ndarray) -> str:
    colours, counts = np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    shown = ", ".join(f"{tuple(colours[i].tolist())} {counts[i] / counts.sum():.0%}".replace("%", " %") for i in order)
    return shown + (f" and {len(colours) - 4} more" if len(colours) > 4 else "")
