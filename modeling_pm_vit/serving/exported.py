"""The layout of an exported folder: `model.json` describes the graphs, which lie beside it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DESCRIPTION = "model.json"
GRAPHS = "onnx"  # the sub-folder where transformers.js looks for graphs


@dataclass(frozen=True)
class Export:
    """
    What `pm-vit export` wrote.

    Args:
        folder: with the graphs and `model.json`.
        description: the content of `model.json`.
    """

    folder: Path
    description: dict[str, Any]

    def graph(self, precision: str) -> Path:
        """The file of a graph. Raises ValueError if there is none in this precision."""
        files = self.description["files"]
        if precision not in files:
            raise ValueError(f"{self.folder} has no graph in {precision}, only in {', '.join(files)}.")
        return self.folder / files[precision]


def find_export(folder: Path) -> Path | None:
    """
    The folder with `model.json`, if there is one: the sub-folder `onnx`, or the folder itself, if it is this sub-folder
    or was exported by an older version.
    """
    return next((place for place in (folder / GRAPHS, folder) if (place / DESCRIPTION).is_file()), None)


def open_export(folder: Path) -> Export:
    """Raises FileNotFoundError if it is not an exported folder."""
    place = find_export(folder)
    if place is None:
        raise FileNotFoundError(
            f"expected a folder that `pm-vit export` wrote, {folder} has no {GRAPHS}/{DESCRIPTION}: "
            f"run `pm-vit export MODEL --output_dir {folder}`."
        )
    return Export(place, json.loads((place / DESCRIPTION).read_text(encoding="utf-8")))
