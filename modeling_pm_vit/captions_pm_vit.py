"""Text on pictures, in the scalable font that Pillow brings: captions of classes, and the scale of a tint."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Place = tuple[int, int]  # x, y in pixels

_SMALLEST = 96  # pixels: on a picture with a shorter side, text would cover too much


@lru_cache  # to read it takes longer than to write a caption
def font(size: int) -> Any:
    """The default font of Pillow, `size` pixels high."""
    return ImageFont.load_default(size)


def line_height(used: Any) -> int:
    return ceil(used.getbbox("Ay")[3] * 1.3)


def cut_off(text: str, used: Any, width: int) -> str:
    """The text, or its beginning and an ellipsis, so that it is at most `width` pixels wide."""
    if used.getlength(text) <= width:
        return text
    while text and used.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, used: Any, width: int) -> str:
    """At most two lines that fit the width; longer text is cut off."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if used.getlength(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > 2:
        lines = [lines[0], lines[1] + " …"]
    return "\n".join(cut_off(line, used, width) for line in lines)


def draw_captions(
    picture: Image.Image, captions: Sequence[str], colours: Sequence[Colour], places: Sequence[Place | None]
) -> None:
    """
    Write a caption on a ground of its colour above each place, inside the picture and beside the earlier ones.

    Args:
        picture: in RGB; it is changed. On one with a side below 96 pixels nothing is written.
        places: (x, y) in pixels; `None`: at the upper left.
    """
    if min(picture.size) < _SMALLEST:
        return
    draw, used = ImageDraw.Draw(picture), font(max(12, round(min(picture.size) / 20)))
    pad = max(3, round(used.size / 4))
    height = line_height(used) + pad
    taken: list[tuple[int, int, int, int]] = []
    for caption, colour, place in zip(captions, colours, places, strict=True):
        text = cut_off(caption, used, picture.width - 2 * pad - 2)
        width = ceil(used.getlength(text)) + 2 * pad
        x, y = place or (0, 0)
        x = min(max(0, x - width // 2), picture.width - width)
        y = min(max(0, y - height), picture.height - height)
        down = [y, *range(y + 1, picture.height - height + 1), *range(y - 1, -1, -1)]
        y = next((row for row in down if not any(_overlap((x, row, width, height), other) for other in taken)), y)
        taken.append((x, y, width, height))
        draw.rounded_rectangle((x, y, x + width - 1, y + height - 1), pad, colour, "white", max(1, pad // 4))
        draw.text((x + pad, y + height // 2), text, _ink(colour), used, anchor="lm")


def with_scale(picture: Image.Image, colours: Sequence[Colour], opacity: float, threshold: float | None) -> Image.Image:
    """The picture with the scale of its tints on the right: over grey, from probability 0 below to 1 above."""
    used = font(max(11, round(picture.height / 26)))
    bar, gap = max(8, used.size), max(4, used.size // 2)
    top, bottom = used.size, max(used.size + 2, picture.height - used.size)
    widest = ceil(used.getlength("0.00"))
    sheet = Image.new(
        "RGB", (picture.width + len(colours) * bar + widest + line_height(used) + 4 * gap, picture.height)
    )
    sheet.paste("white", (0, 0, *sheet.size))
    sheet.paste(picture)
    draw, left = ImageDraw.Draw(sheet), picture.width + gap
    alpha = opacity * np.linspace(1, 0, bottom - top, dtype=np.float32)[:, None]
    for number, colour in enumerate(colours):
        ramp = (128 * (1 - alpha) + np.array(colour, np.float32) * alpha).round().astype(np.uint8)
        sheet.paste(Image.fromarray(np.repeat(ramp[:, None], bar, 1)), (left + number * bar, top))
    right = left + len(colours) * bar
    for value in (0.0, 1.0) if threshold in (None, 0, 1) else (0.0, threshold, 1.0):
        assert value is not None
        y = round(bottom - 1 - value * (bottom - 1 - top))
        draw.line((left, y, right + gap // 2, y), "black", max(1, used.size // 12))
        draw.text((right + gap, y), f"{value:.2g}", "black", used, anchor="lm")
    title = Image.new("L", (ceil(used.getlength("probability")), line_height(used)))
    ImageDraw.Draw(title).text((0, 0), "probability", 255, used)
    title = title.rotate(90, expand=True)
    if title.height <= bottom - top:
        sheet.paste("black", (right + widest + 2 * gap, (picture.height - title.height) // 2), title)
    return sheet


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    (x, y, width, height), (left, top, wide, high) = one, other
    return x < left + wide and left < x + width and y < top + high and top < y + height


def _ink(colour: Colour) -> str:
    """Black or white, whichever is easier to read on a colour (relative luminance of WCAG 2, without its gamma)."""
    red, green, blue = colour
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 125 else "white"


__all__ = ["cut_off", "draw_captions", "font", "line_height", "with_scale", "wrapped"]
