"""Which column of a dataset holds what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """Names of a dataset's columns. `mask` and `boxes` are `None` where there is none; boxes are `[x0, y0, x1, y1]`."""

    image: str = "image"
    label: str = "label"
    mask: str | None = "mask"
    boxes: str | None = None
