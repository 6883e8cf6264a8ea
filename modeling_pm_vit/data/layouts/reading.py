"""Common to the layouts: checks of splits and files, fields of text files, images as bytes."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...utils.errors import InputError, NotFoundError


def require_split(split: str, splits: Sequence[str], name: str) -> None:
    """
    Raises:
        InputError: if the split is not one of `splits`; names them.
    """
    if split not in splits:
        raise InputError(f"{name} has no split {split!r}; it has {', '.join(splits)}.")


def require(path: Path, expected: str, page: str) -> Path:
    """
    Raises:
        NotFoundError: if the path does not exist; says what is expected there and where to download it.
    """
    if not path.exists():
        raise NotFoundError(f"there is no {path}: expected {expected}. Download: {page}")
    return path


def read_fields(path: Path, separator: str | None = None, count: int = -1) -> list[list[str]]:
    """The fields of each non-empty line, split at `separator` (`None`: white space) at most `count` times."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip().split(separator, count) for line in lines if line.strip()]


def encode_png(pixels: np.ndarray) -> dict[str, bytes | None]:
    """A value of a `datasets.Image` column; `pixels` are `(height, width)` uint8 or uint16, or `(height, width, 3)`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def stamp(paths: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of files, from which `datasets` sees that its cache is out of date."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
