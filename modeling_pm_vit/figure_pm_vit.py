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
        panels: rows of (caption, image); each image is fitted into a square. A row may be shorter than others.
        side: of the squares, in pixels.
        scale: draw the scale of [`heatmap`] below.
    """
    used = font(max(11, side // 16))
    line = line_height(used)
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
            draw.multiline_text((x, y + side + 2), wrapped(text, used, side), fill="black", font=used, spacing=2)
    if scale:
        ramp = heatmap(np.tile(np.linspace(0, 1, side), (line // 2, 1)))
        y = sheet.height - 2 * line - gap // 2
        sheet.paste(ramp, (gap, y))
        draw.text((gap, y + line // 2 + 2), "0", fill="black", font=used)
        draw.text((gap + side, y + line // 2 + 2), "1", fill="black", font=used, anchor="ra")
        draw.text((gap + side // 2, y + line // 2 + 2), "probability", fill="black", font=used, anchor="ma")
    return sheet


__all__ = ["figure"]
