"""The report of a check for shortcuts: a table, the findings, and for each class the images with the most of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...metrics.heatmaps import min_max
from ...utils.files import write_json, write_text
from ...utils.html import write_page
from ...utils.tables import markdown_table
from ...visualization import figure, heatmap, overlay
from ..batch import Batch
from .classes import ClassShares, Value

_COLUMNS = {
    "right": "right",
    "map_off": "map off the object",
    "evidence_off": "evidence off the object",
    "area_off": "image off the object",
    "right_hidden": "right with the object hidden",
    "map_border": "map at the border",
    "evidence_border": "evidence at the border",
}


def class_table(classes: Sequence[ClassShares]) -> list[list[str]]:
    """A row per class: the mean of each value with its 95 % interval, in per cent."""
    table = [["class", "images", *_COLUMNS.values()]]
    for found in classes:
        cells = [_cell(*found.values[name]) for name in _COLUMNS]
        table.append([found.name, str(found.images), *cells])
    return table


def findings_of(classes: Sequence[ClassShares]) -> list[str]:
    """A sentence for each class with findings; one sentence if there are none."""
    found = [f"{one.name}: {'; '.join(one.findings)}." for one in classes if one.findings]
    return found or ["No class is recognised by more than its object, as far as these values tell."]


def write_report(
    folder: Path,
    title: str,
    classes: Sequence[ClassShares],
    pictures: Mapping[str, Image.Image],
    notes: Sequence[str],
    settings: Mapping[str, Any],
) -> None:
    """Write `index.html`, `report.md`, `shortcuts.json` and a picture of examples of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    table, findings, cards, parts = class_table(classes), findings_of(classes), [], []
    for number, (name, picture) in enumerate(pictures.items()):
        file = f"class-{number}.png"
        picture.save(folder / file)
        (own,) = (found for found in classes if found.name == name)
        text = "; ".join(own.findings) or "No finding."
        images = [{"source": file, "caption": "Image, map of the class, and evidence, stretched.", "wide": True}]
        cards.append({"title": name, "text": text, "images": images})
        parts.append(f"## {name}\n\n{text}\n\n![examples of {name}]({file})")
    values = [asdict(found) | {"values": _known(found.values)} for found in classes]
    write_json(folder / "shortcuts.json", {"settings": dict(settings), "classes": values})
    listed = "\n".join(f"- {finding}" for finding in findings)
    write_text(folder / "report.md", "\n\n".join([f"# {title}", listed, markdown_table(table).strip(), *notes, *parts]))
    write_page(folder / "index.html", title, cards, notes=[*findings, *notes], table=table)


def example_picture(batch: Batch, maps: np.ndarray, evidence: np.ndarray, captions: Sequence[str]) -> Image.Image:
    """A row per image: the image with the outline of its object, its map, and its evidence."""
    rows = []
    for row, image in enumerate(batch.images):
        size = maps.shape[:0:-1]
        shown = image.resize(size)
        grey = shown.convert("L").convert("RGB")
        outlined = overlay(shown, batch.masks[row][None].astype(np.float32), 0.5, 0.0)
        rows.append(
            [
                (captions[row], outlined),
                ("map: dark 0, yellow 1", Image.blend(grey, heatmap(maps[row].clip(0, 1)), 0.65)),
                ("evidence, stretched", Image.blend(grey, heatmap(min_max(evidence[row : row + 1])[0]), 0.65)),
            ]
        )
    return figure(rows, side=200, scale=False)


def _known(values: Mapping[str, Value]) -> dict[str, Value | None]:
    """JSON has no NaN."""
    return {name: None if value[0] != value[0] else value for name, value in values.items()}


def _cell(mean: float, low: float, high: float) -> str:
    return "" if mean != mean else f"{100 * mean:.0f} [{100 * low:.0f}, {100 * high:.0f}]"
