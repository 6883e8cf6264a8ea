"""How many images and masks each class has in training and evaluation, told before the first step, with warnings."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from ..utils.tables import markdown_table
from .classes import ClassMap
from .columns import Columns
from .label_columns import shown_in
from .overview import listed
from .rows import Rows

_TABLE = 20  # classes that are listed one by one
_FEW = 10  # images of a class, below which its results depend on the choice of images


class Part(NamedTuple):
    """
    A part of the data.

    Attributes:
        title: what it is for, such as `training`.
        rows: of a dataset.
        columns: names.
        classes: of the dataset, and the places of each among those to train.
    """

    title: str
    rows: Rows
    columns: Columns
    classes: ClassMap


def class_overview(training: Sequence[Part], names: Sequence[str], evaluation: Part | None = None) -> list[str]:
    """
    The number of images and of masks of each class in each part: a table, or the range where there are more than 20
    classes; files that are listed with two labels; classes without an image, or, with an evaluation, warnings of
    classes with few or none on one side. No image is read.

    Args:
        names: all classes.
    """
    parts = [*training, *([evaluation] if evaluation else [])]
    columns: dict[str, np.ndarray] = {}
    images, notes = [], []
    for part in parts:
        own = shown_in(part.rows, part.columns.label)
        ids = dict(enumerate(part.classes.ids))  # a label that is no class is told when its row is read
        shown = [None if found is None else [ids[label] for label in found if label in ids] for found in own]
        images.append(_count(shown, len(names)))
        prefix = f"{part.title} " if len(parts) > 1 else ""
        columns[f"{prefix}images"] = images[-1]
        if part.columns.mask is not None and part.columns.mask in part.rows.features:
            masked = [shown[row] for row in part.rows.rows_with(part.columns.mask).tolist()]
            columns[f"{prefix}masks"] = _count(masked, len(names))
        notes += _notes(part, shown)
    if len(names) <= _TABLE:
        rows = [("class", *columns), *zip(names, *(map(str, found) for found in columns.values()), strict=True)]
        lines = [markdown_table(rows).rstrip()]
    else:
        ranges = [f"{what}: {c.min()} to {c.max()}, median {np.median(c):g}" for what, c in columns.items()]
        lines = [f"{len(names)} classes, of each {'; '.join(ranges)}"]
    if evaluation is None:
        empty = [name for name, count in zip(names, np.sum(images, axis=0), strict=True) if not count]
        notes[:0] = [f"without an image in {parts[0].rows.name}: {listed(empty)}"] if empty else []
        return [*lines, *notes]
    return [*lines, *notes, *class_warnings(np.sum(images[:-1], axis=0), images[-1], names)]


def class_warnings(training: np.ndarray, evaluation: np.ndarray, names: Sequence[str]) -> list[str]:
    """
    Sentences on classes with few images or none.

    Args:
        training, evaluation: number of images of each class, `(classes,)`.
        names: of the classes.
    """

    def named(chosen: np.ndarray, counts: np.ndarray) -> str:
        return listed([f"{names[c]} ({counts[c]})" for c in np.flatnonzero(chosen).tolist()])

    neither, both = (training == 0) & (evaluation == 0), (training > 0) & (evaluation > 0)
    cases = (
        (neither, training, "no image shows {}"),
        ((training == 0) & ~neither, evaluation, "only evaluation images show {}: it cannot be learned"),
        ((evaluation == 0) & ~neither, training, "only training images show {}: no result will tell of it"),
        (both & (training < _FEW), training, "fewer than 10 training images show {}"),
        (both & (evaluation < _FEW), evaluation, "fewer than 10 evaluation images show {}: rough results"),
    )
    return [f"warning: {text.format(named(chosen, counts))}." for chosen, counts, text in cases if chosen.any()]


def _notes(part: Part, shown: Sequence[list[int] | None]) -> list[str]:
    rows = part.rows
    counts = (("show none of the classes", shown.count([])), ("have no label", shown.count(None)))
    notes = [f"{number} images of {rows.name} {what}" for what, number in counts if number]
    several = _with_several_labels(rows, part.columns, shown)
    if several:
        notes.append(f"files of {rows.name} that are listed more than once, with other classes: {listed(several)}")
    return notes


def _count(shown: Sequence[list[int] | None], classes: int) -> np.ndarray:
    return np.bincount(np.array([label for labels in shown for label in labels or ()], int), minlength=classes)


def _with_several_labels(rows: Rows, columns: Columns, shown: Sequence[list[int] | None]) -> list[str]:
    """Names of image files that come more than once, with different labels; none where images are embedded."""
    if rows.blocks is not None or not _is_path(rows[0].get(columns.image)):
        return []
    first: dict[str, list[int] | None] = {}
    pairs = zip(rows.values(columns.image), shown, strict=True)
    files = [(value["path"], labels) for value, labels in pairs if _is_path(value)]
    return sorted({PurePath(file).name for file, labels in files if first.setdefault(file, labels) != labels})


def _is_path(value: Any) -> bool:
    return isinstance(value, dict) and value.get("bytes") is None and isinstance(value.get("path"), str)
