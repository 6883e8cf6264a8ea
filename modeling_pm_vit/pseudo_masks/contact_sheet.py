"""A contact sheet of pseudo masks in the order of their scores, to choose a minimum score by eye."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..image_loading_pm_vit import load_image
from ..utils.html import write_page
from ..visualization import figure, overlay
from .runner import Counts
from .shards import ShardFolder

_COLUMNS, _ROWS = 6, 4
_SIDE = 168


def write_contact_sheet(shards: ShardFolder, counts: Counts) -> Path:
    """
    Write `SPLIT.png`, images with their masks as overlays, and `SPLIT.html`, a page with this picture, the counts and
    the settings.

    Args:
        shards: complete.
        counts: of the shards.

    Returns:
        The page's path.
    """
    table = shards.read(["mask_score"])["mask_score"].to_numpy()
    seen = np.flatnonzero(np.isfinite(table))
    order = seen[table[seen].argsort(kind="stable")]
    most = _COLUMNS * _ROWS - _COLUMNS * (len(seen) < len(table))
    chosen = order[np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)].tolist()
    chosen += np.flatnonzero(~np.isfinite(table))[:_COLUMNS].tolist()
    names = shards.classes
    cells = [_cell(row, names) for row in shards.rows(chosen)]
    panels = [cells[start : start + _COLUMNS] for start in range(0, len(cells), _COLUMNS)]
    picture = shards.folder / f"{shards.name}.png"
    figure(panels, _SIDE, scale=False).save(picture)
    told = ", ".join(f"{name} {value}" for name, value in shards.settings.items())
    return write_page(
        shards.folder / f"{shards.name}.html",
        f"Pseudo masks: {shards.name}",
        [
            {
                "title": "From the lowest score to the highest",
                "text": "Last row: images without a found object. Images without an overlay: the mask was left out.",
                "images": [{"source": picture.name, "caption": "", "wide": True}],
            }
        ],
        notes=[f"Settings: {told}."],
        table=[
            ["images", "with a mask", "no object found", "score too low"],
            [str(n) for n in (counts.images, counts.masks, counts.no_object, counts.low_score)],
        ],
    )


def _cell(row: dict[str, Any], names: list[str]) -> tuple[str, Image.Image]:
    image = load_image(Image.open(io.BytesIO(row["image"]["bytes"])))
    if row["mask"] is not None:
        mask = np.asarray(Image.open(io.BytesIO(row["mask"]["bytes"]))) > 0
        size = image.size
        image.thumbnail((2 * _SIDE, 2 * _SIDE))
        if image.size != size:
            mask = np.asarray(Image.fromarray(mask).resize(image.size))
        image = overlay(image, mask.astype(np.float32))
    score = "no object" if row["mask_score"] is None else f"{row['mask_score']:.3f}"
    return f"{row['row']}: {names[row['label']]} {score}", image
