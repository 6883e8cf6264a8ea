"""What the layouts have in common: complaints about what is not there, lines of text files, pictures as bytes."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def require_split(split: str, splits: Sequence[str], name: str) -> None:
    """
    Raises:
        ValueError: if it is none of `splits`; names them.
    """
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(splits)}.")


def require(path: Path, expected: str, page: str) -> Path:
    """
    Raises:
        FileNotFoundError: if there is nothing at `path`; says what is expected there and on which page it is found.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: expected {expected}, to be had from {page}.")
    return path


def read_fields(path: Path, separator: str | None = None, count: int = -1) -> list[list[str]]:
    """The fields of each line that is not empty, parted at `separator` (`None`: white space) at most `count` times."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip().split(separator, count) for line in lines if line.strip()]


def encode_png(pixels: np.ndarray) -> dict[str, bytes | None]:
    """A value of a `datasets.Image` column; `pixels` are `(height, width)` uint8 or uint16, or `(height, width, 3)`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def stamp(paths: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of files, for `datasets` to see when what it has cached is out of date."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
