"""The classes that a user expects of images."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ...utils.errors import InputError, NotFoundError
from ..files import names_of

FOLDERS = "folders"  # value of --expected: the class is the name of the image's folder


def expected_classes(source: str | None, paths: Sequence[Path]) -> dict[Path, list[str]]:
    """
    The expected classes of images: one, or of a model that finds several in an image any number.

    Args:
        source: a CSV file with the columns `file` (the name that `pm-vit explain` gives to the image) and `label`, a
            row for each class of an image, with an empty label for an image that shows none of the classes;
            `"folders"`: the name of the folder in which an image lies; `None`: nothing is expected.

    Raises:
        NotFoundError, InputError: if there is no such file, it lacks a column, or names no image.
    """
    if source is None:
        return {}
    if source == FOLDERS:
        return {path: [path.absolute().parent.name] for path in paths}
    file = Path(source)
    if not file.is_file():
        raise NotFoundError(f"--expected: there is no file {source}; it takes a CSV file or '{FOLDERS}'.")
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise InputError(f"--expected {source}: expected the columns file and label, and a row for each image.")
    labels: dict[str, list[str]] = {}
    for row in rows:
        labels.setdefault(row["file"], []).extend([row["label"]] if row["label"] else [])
    names = names_of(paths)
    if unknown := sorted(set(labels) - set(names.values())):
        raise InputError(f"--expected {source}: {unknown[0]} is none of the {len(names)} images.")
    return {path: labels[name] for path, name in names.items() if name in labels}
