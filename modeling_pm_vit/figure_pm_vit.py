"""Pictures side by side."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .captions_pm_vit import font, line_height, wrapped
from .overlay_pm_vit import heatmap


def figure(panels: Sequence[Sequence[tuple[str, Image.Image]]], side: int = 224, scale: bool = True) -> Image.Image:
    """
    Images side by side with captions.

    Args:
        panels: rows of (caption, image). A row may be shorter than others.
        side: the longer side to which each image is resized, in pixels.
        scale: draw the scale of [`heatmap`] below.
    """
    used = font(max(11, side // 16))
    line = line_height(used)
    caption, gap = 2 * line + 4, max(6, side // 24)
    fitted = [[_fitted(image, side) for _, image in row] for row in panels]
    heights = [max((image.height for image in row), default=0) for row in fitted]
    columns = max(len(row) for row in panels)
    height = sum(heights) + len(panels) * (caption + gap) + gap + (2 * line + gap if scale else 0)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, height), "white")
    draw, y = ImageDraw.Draw(sheet), gap
    for row, images, high in zip(panels, fitted, heights, strict=True):
        for column, ((text, _), image) in enumerate(zip(row, images, strict=True)):
            x = gap + column * (side + gap)
            sheet.paste(image, (x + (side - image.width) // 2, y + (high - image.height) // 2))
            draw.multiline_text((x, y + high + 2), wrapped(text, used, side), fill="black", font=used, spacing=2)
        y += high + caption + gap
    if scale:
        ramp = heatmap(np.tile(np.linspace(0, 1, side), (line // 2, 1)))
        y = sheet.height - 2 * line - gap // 2
        sheet.paste(ramp, (gap, y))
        draw.text((gap, y + line // 2 + 2), "0", fill="black", font=used)
        draw.text((gap + side, y + line // 2 + 2), "1", fill="black", font=used, anchor="ra")
        draw.text((gap + side // 2, y + line // 2 + 2), "probability", fill="black", font=used, anchor="ma")
    return sheet


def _fitted(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.convert("RGB").resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST)


__all__ = ["figure"]
