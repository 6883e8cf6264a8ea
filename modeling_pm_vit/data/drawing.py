"""A part of a dataset that has images of all classes, whatever the order of the rows."""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from .label_columns import shown_in
from .rows import Rows, SelectedRows
from .samplers import shuffled


def drawn_order(labels: Sequence[Any], seed: int, blocks: Sequence[int] | None = None) -> np.ndarray:
    """
    All rows, in an order whose first N rows are a sample of any size N: first one row of each class, then more rows of
    each in proportion to its size.

    Args:
        labels: of the rows; of several labels the rarest counts.
        seed: the order is a function of it.
        blocks: lengths of the blocks in which the rows are read. The rows then come from few blocks.
    """
    classes: dict[Hashable, int] = {}
    index = np.array([classes.setdefault(label, len(classes)) for label in _single(labels)], dtype=np.int64)
    order = shuffled(len(index), seed, 0, blocks, window=1)
    order = order[np.argsort(index[order], kind="stable")]  # class by class
    sizes = np.bincount(index, minlength=len(classes))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    key = np.where(rank == 0, -1, (rank + 0.5) / np.repeat(sizes, sizes))
    turn = np.random.default_rng((seed, 1)).permutation(len(classes))  # which class is first where keys are equal
    return order[np.lexsort((np.repeat(turn, sizes), key))]


def draw(rows: Rows, label_column: str, count: int | None, seed: int) -> Rows:
    """
    At most `count` rows, drawn as [`drawn_order`] describes, in their own order; all rows for `None`.

    Args:
        label_column: the only one that is read.
    """
    if count is None or count >= len(rows):
        return rows
    order = drawn_order(shown_in(rows, label_column), seed, rows.blocks)
    return SelectedRows(rows, np.sort(order[:count]))


def _single(labels: Sequence[Any]) -> list[Hashable]:
    """Of several labels of a row the rarest, so that it has its share."""
    if not any(isinstance(label, (list, tuple)) for label in labels):
        return list(labels)
    several = [label if isinstance(label, (list, tuple)) else [label] for label in labels]
    counts = Counter(label for row in several for label in row)
    return [min(row, key=lambda label: (counts[label], str(label))) if row else None for row in several]
