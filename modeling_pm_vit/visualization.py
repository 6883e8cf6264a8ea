"""Pictures of explanations: heat maps, overlays, figures.

All scales show probabilities from 0 to 1, the same for every class and image, without rescaling. People with common
colour-vision deficiencies can distinguish the colours.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .image_loading_pm_vit import load_image

# Nine support points of 'cividis' (Nunez, Anderton, Renslow, 2018), equally spaced from 0 to 1.
_CIVIDIS = np.array(
    [
        (0, 34, 78),
        (18, 53, 112),
        (59, 73, 108),
        (87, 93, 109),
        (112, 113, 115),
        (138, 134, 120),
        (165, 156, 116),
        (195, 179, 105),
        (254, 232, 56),
    ]
)
# Okabe and Ito, *Color Universal Design* (2008); first the colours that are rare in photographs.
CLASS_COLOURS = [(213, 94, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178)]

_STRIPE = 2**20  # pixels that are painted at a time


def heatmap_image(heatmap: np.ndarray) -> Image.Image:
    """
    A map `(height, width)` of probabilities in colours from dark blue (0) to yellow (1).

    Example:
        >>> image = heatmap_image(np.array([[0.0, 1.0]]))
        >>> image.size, image.getpixel((0, 0)), image.getpixel((1, 0))
        ((2, 1), (0, 34, 78), (254, 232, 56))
    """
    heatmap = _probabilities(heatmap)
    points = np.linspace(0, 1, len(_CIVIDIS))
    channels = [np.interp(heatmap, points, _CIVIDIS[:, channel]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, -1).round().astype(np.uint8))


def overlay(
    image: Image.Image, heatmaps: np.ndarray, threshold: float | None = 0.5, opacity: float = 0.6
) -> Image.Image:
    """
    The photograph, with a tint where the classes are.

    Args:
        image: of any mode; it is turned upright and converted by [`load_image`], as it is explained.
        heatmaps: probabilities `(height, width)` of one class, or `(K, height, width)` of several, at the image's size.
            The tint of class k has the colour `CLASS_COLOURS[k]`, and its opacity is `opacity` times the probability.
        threshold: probability whose contour is drawn as a line; `None` for none.

    Raises:
        ValueError: if a map does not have the size of the image, or has values outside [0, 1].
    """
    image, heatmaps = load_image(image), _probabilities(heatmaps)
    heatmaps = heatmaps[None] if heatmaps.ndim == 2 else heatmaps
    if heatmaps.shape[1:] != (image.height, image.width):
        raise ValueError(
            f"expected maps of the image's size (height, width) = {(image.height, image.width)}, "
            f"got {heatmaps.shape[1:]}."
        )
    pixels = np.array(image)
    width = max(1, round(min(image.size) / 200))
    step = max(1, _STRIPE // max(1, image.width))
    for row in range(0, image.height, step):  # of large images the float values would need much memory
        rows, halo = slice(row, row + step), slice(max(0, row - 2 * width), row + step + 2 * width)
        canvas = pixels[rows].astype(np.float32)
        for heatmap, colour in zip(heatmaps, _colours(len(heatmaps)), strict=True):
            alpha = opacity * heatmap[rows, :, None]
            canvas = canvas * (1 - alpha) + np.array(colour, np.float32) * alpha
        for heatmap, colour in zip(heatmaps, _colours(len(heatmaps)), strict=True) if threshold is not None else ():
            depth = _depth(heatmap[halo] >= threshold)[row - halo.start :][: len(canvas)]
            canvas[(depth > 0) & (depth <= 2 * width)] = 255  # a white rim: the line is visible on any background
            canvas[(depth > 0) & (depth <= width)] = colour
        pixels[rows] = canvas.round().clip(0, 255)
    return Image.fromarray(pixels)


def figure(panels: Sequence[Sequence[tuple[str, Image.Image]]], side: int = 224, scale: bool = True) -> Image.Image:
    """
    Images side by side with captions.

    Args:
        panels: rows of (caption, image); each image is fitted into a square. A row may be shorter than others.
        side: of the squares, in pixels.
        scale: draw the scale of [`heatmap_image`] below.
    """
    font = ImageFont.load_default(max(11, side // 16))
    line = math.ceil(font.getbbox("Ay")[3] * 1.3)
    caption, gap = 2 * line + 4, max(6, side // 24)
    columns = max(len(row) for row in panels)
    height = len(panels) * (side + caption + gap) + gap + (2 * line + gap if scale else 0)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(panels):
        for j, (text, image) in enumerate(row):
            x, y = gap + j * (side + gap), gap + i * (side + caption + gap)
            factor = side / max(image.size)
            fitted = image.convert("RGB").resize(
                (max(1, round(image.width * factor)), max(1, round(image.height * factor))),
                Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST,
            )
            sheet.paste(fitted, (x + (side - fitted.width) // 2, y + (side - fitted.height) // 2))
            draw.multiline_text((x, y + side + 2), _wrap(text, font, side), fill="black", font=font, spacing=2)
    if scale:
        ramp = heatmap_image(np.tile(np.linspace(0, 1, side), (line // 2, 1)))
        y = sheet.height - 2 * line - gap // 2
        sheet.paste(ramp, (gap, y))
        draw.text((gap, y + line // 2 + 2), "0", fill="black", font=font)
        draw.text((gap + side, y + line // 2 + 2), "1", fill="black", font=font, anchor="ra")
        draw.text((gap + side // 2, y + line // 2 + 2), "probability", fill="black", font=font, anchor="ma")
    return sheet


def _probabilities(heatmap: np.ndarray) -> np.ndarray:
    heatmap = np.asarray(heatmap, dtype=np.float32)
    if heatmap.size and not (heatmap.min() >= 0 and heatmap.max() <= 1):
        raise ValueError(f"expected probabilities in [0, 1], got {heatmap.min()} to {heatmap.max()}.")
    return heatmap


def _colours(count: int) -> list[tuple[int, int, int]]:
    return [CLASS_COLOURS[k % len(CLASS_COLOURS)] for k in range(count)]


def _depth(mask: np.ndarray) -> np.ndarray:
    """The distance of each pixel of a mask from the next one outside of it, in steps along rows and columns."""
    height, width = mask.shape
    y, x = np.arange(height, dtype=np.int32)[:, None], np.arange(width, dtype=np.int32)
    far = np.int32(height + width)
    above = np.maximum.accumulate(np.where(mask, -far, y), axis=0)
    below = np.minimum.accumulate(np.where(mask, height + far, y)[::-1], axis=0)[::-1]
    depth = np.minimum(y - above, below - y)
    left = np.minimum.accumulate(depth - x, axis=1) + x
    right = np.minimum.accumulate((depth + x)[:, ::-1], axis=1)[:, ::-1] - x
    result: np.ndarray = np.minimum(left, right)
    return result


def _wrap(text: str, font: Any, width: int) -> str:
    """At most two lines that fit the width; longer text is cut off."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > 2:
        lines = [lines[0], lines[1] + " …"]
    for i, line in enumerate(lines):
        while font.getlength(line) > width:
            line = line[:-2].rstrip("…") + "…"
        lines[i] = line
    return "\n".join(lines)
