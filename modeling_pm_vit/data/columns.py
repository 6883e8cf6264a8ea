"""Which column of a dataset holds what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..utils.errors import InputError


@dataclass(frozen=True)
class Columns:
    """Names of a dataset's columns. `mask` and `boxes` are `None` where there is none; boxes are `[x0, y0, x1, y1]`."""

    image: str = "image"
    label: str = "label"
    mask: str | None = "mask"
    boxes: str | None = None


def require_columns(source: str, features: Iterable[str], columns: Mapping[str, str | None]) -> None:
    """
    Check that a source has the columns that options name.

    Args:
        source: its name, for the message.
        features: the columns that it has.
        columns: by option, such as `{"--image_column": "image"}`; `None` for a column that is not used.

    Raises:
        InputError: if one is missing; names the option, the source and its columns.
    """
    existing = list(features)
    for option, column in columns.items():
        if column is not None and column not in existing:
            raise InputError(
                f"{option}: {source} has no column {column!r}; its columns are {', '.join(existing) or 'none'}."
            )
