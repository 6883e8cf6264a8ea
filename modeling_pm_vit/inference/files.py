"""Finds the image files of a command line."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..utils.errors import NotFoundError

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def find_images(patterns: Iterable[str]) -> list[Path]:
    """
    Files as given, the images below folders, and what glob patterns (`**` included) match; sorted, each once.

    Raises:
        NotFoundError: if a pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            files = [path]
        else:
            files = sorted(Path(match) for match in glob.glob(pattern, recursive=True) if Path(match).is_file())
        if not files:
            raise NotFoundError(f"{pattern}: no such file, and no image matches it.")
        found |= dict.fromkeys(files)
    return list(found)


def unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """
    A file name for each path: its stem, with a number if several files have the same stem.

    Example:
        >>> list(unique_names([Path("a/cat.jpg"), Path("b/cat.jpg"), Path("dog.png")]).values())
        ['cat', 'cat-2', 'dog']
    """
    names, taken = {}, set()
    for path in paths:
        name, number = path.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.lower())
        names[path] = name
    return names
