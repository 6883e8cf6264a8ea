"""Rows that belong together, such as the images of a patient or a lesion: a group lies in one part of a split."""

from collections.abc import Hashable, Sequence

import numpy as np

from ..utils.errors import InputError
from .columns import require_columns
from .label_columns import shown_in
from .rows import Rows

_NAMED = 3  # groups in a message


def group_parts(rows: Rows, group_column: str, label_column: str | None, parts: int) -> np.ndarray:
    """
    The part of each row, `(rows,)`, in 0 ... parts - 1. A group is in one part, parts have about as many images of each
    class, and the same rows give the same parts. A row without a group (null) is a group of its own.

    Raises:
        InputError: if there is no such column, or there are fewer groups than parts.
    """
    require_columns(rows.name, rows.features, {"--group_column": group_column})
    groups = rows.values(group_column)
    shown = [[]] * len(rows) if label_column is None else [found or [] for found in shown_in(rows, label_column)]
    return stratified_parts(groups, shown, parts, rows.name)


def stratified_parts(
    groups: Sequence[Hashable], shown: Sequence[Sequence[int]], parts: int, name: str = "the dataset"
) -> np.ndarray:
    """
    As [`group_parts`]. The largest group first, each goes to the part that has the smallest share of its classes.

    Args:
        groups: of the rows; None for a group of its own.
        shown: the classes that each row shows.
        parts: their number.
        name: of the dataset, for the message.
    """
    known: dict[Hashable, int] = {}
    numbers = np.array([known.setdefault(row if g is None else (g,), len(known)) for row, g in enumerate(groups)], int)
    if len(known) < parts:
        raise InputError(f"--group_column: {name} has {len(known)} groups, which cannot be divided into {parts} parts.")
    classes = max((label for labels in shown for label in labels), default=-1) + 1
    counts = np.zeros((len(known), classes + 1))
    for number, labels in zip(numbers.tolist(), shown, strict=True):
        counts[number, [*labels, -1]] += 1  # the last column counts images
    totals = np.maximum(counts.sum(0), 1)
    placed, part_of = np.zeros((parts, classes + 1)), np.zeros(len(known), int)
    for group in np.argsort(-counts[:, -1], kind="stable").tolist():
        weights = counts[group] / counts[group, -1]  # the shares of its images that show each class; 1 for their number
        part = int(np.argmin((placed / totals) @ weights))
        placed[part] += counts[group]
        part_of[group] = part
    return part_of[numbers]


def require_separate_groups(train: Sequence[Rows], evaluation: Rows, group_column: str | None) -> None:
    """
    Args:
        train: the sources of the training; one without the column has no groups.

    Raises:
        InputError: if a group has images in training and evaluation, or the column is missing.
    """
    if group_column is None:
        return
    for rows in (train[0], evaluation):
        require_columns(rows.name, rows.features, {"--group_column": group_column})
    learned = {group for rows in train if group_column in rows.features for group in rows.values(group_column)}
    groups = evaluation.values(group_column)
    both = sorted({group for group in groups if group is not None and group in learned}, key=str)
    if not both:
        return
    images = sum(group in set(both) for group in groups)
    named = ", ".join(map(repr, both[:_NAMED])) + (", ..." if len(both) > _NAMED else "")
    raise InputError(
        f"--group_column {group_column}: {len(both)} groups ({named}) are in the training images and in "
        f"{evaluation.name}, where {images} of {len(groups)} images belong to them: the results would be too good. "
        "Divide one split by groups, such as --train_split 'train[!0/5]' --eval_split 'train[0/5]', or use --folds."
    )
