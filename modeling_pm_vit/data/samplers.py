"""The order of the images of an epoch. It is computed from (seed, epoch, position) and has no state, so that a run can
resume at any step, and each of several processes knows its part.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One image of an epoch; its augmentation is a function of `(epoch, position)` and the run's seed."""

    epoch: int
    position: int
    index: int  # type: ignore[assignment] # hides tuple.index; of the row; -1 for a padding sample that fills up a batch


def shuffled(length: int, seed: int, epoch: int, blocks: Sequence[int] | None = None, window: int = 16) -> np.ndarray:
    """
    The rows `0 ... length - 1` in the order of an epoch.

    Args:
        blocks: lengths of the blocks of a source that is read block by block. The blocks are shuffled, then the rows
            within each `window` of blocks, so that only these blocks have to be in memory.
    """
    rng = np.random.default_rng((seed, epoch))
    if blocks is None:
        return rng.permutation(length)
    starts = np.cumsum([0, *blocks])
    parts = []
    block_order = rng.permutation(len(blocks))
    for first in range(0, len(block_order), window):
        rows = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in block_order[first : first + window]])
        parts.append(rng.permutation(rows))
    return np.concatenate(parts)


def interleaved(main: np.ndarray, others: int, rate: float, seed: int, epoch: int) -> np.ndarray:
    """
    The order of an epoch of two sources, with the rows of the second one spread evenly.

    Each row of the first source comes once; one of every `1 / rate` rows is of the second source, which is read in
    shuffled passes that continue over the epochs.

    Args:
        main: order of the first source.
        others: number of rows of the second source, whose row k has the index `len(main) + k`.
        rate: share of the second source in the result, in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the share of the second source must lie in [0, 1), got {rate}.")
    extra = round(len(main) * rate / (1 - rate))
    if not others or not extra:
        return main
    order = np.empty(len(main) + extra, dtype=np.int64)
    is_extra = np.diff(np.arange(len(order) + 1) * extra // len(order)) > 0
    order[~is_extra] = main
    order[is_extra] = len(main) + _in_passes(others, extra, epoch, (seed, 1))
    return order


def balanced(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """
    The order of an epoch in which each class comes equally often, to one row, and which is as long as there are rows.

    The rows of a class are read in shuffled passes that continue over the epochs: those of a rare class come several
    times in an epoch, those of a frequent one in several epochs once.

    Args:
        labels: of the rows, `(rows,)`; rows with a negative one are left out.
    """
    classes = np.unique(labels[labels >= 0])
    ends = np.arange(len(classes) + 1) * len(labels) // len(classes)
    parts = []
    for label, share in zip(classes.tolist(), np.diff(ends).tolist(), strict=True):
        rows = np.flatnonzero(labels == label)
        parts.append(rows[_in_passes(len(rows), share, epoch, (seed, 2, label))])
    return np.random.default_rng((seed, epoch)).permutation(np.concatenate(parts))


def _in_passes(rows: int, share: int, epoch: int, seed: tuple[int, ...]) -> np.ndarray:
    """`share` of the rows `0 ... rows - 1` for each epoch, in shuffled passes that continue over the epochs."""
    numbers = epoch * share + np.arange(share)  # of these samples since the first epoch
    passes = {p: np.random.default_rng((*seed, p)).permutation(rows) for p in np.unique(numbers // rows).tolist()}
    return np.array([passes[n // rows][n % rows] for n in numbers.tolist()], np.int64)


class DistributedBatchSampler:
    """
    The batches of one process in an epoch, as lists of [`Sample`].

    Over all processes each row comes exactly once an epoch. All processes have the same number of batches of the same
    sizes; padding samples (index -1) fill up the last batch.

    Args:
        order: maps an epoch to its order of `length` rows.
        length: number of rows in an epoch.
        batch_size: of one process.
        rank, world: index of this process and number of processes.
        contiguous: give each process one contiguous part of the order instead of a part of every global batch. A source
            that is read block by block is then read about once by all processes together, not once by each.
    """

    def __init__(
        self,
        order: Callable[[int], np.ndarray],
        length: int,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        contiguous: bool = False,
    ):
        self.order, self.length, self.batch_size = order, length, batch_size
        self.rank, self.world, self.contiguous = rank, world, contiguous
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        share = -(-self.length // self.world)
        return -(-share // self.batch_size)

    def __iter__(self) -> Iterator[list[Sample]]:
        order, positions = self.order(self.epoch), self._positions()
        for start in range(0, len(positions), self.batch_size):
            batch = positions[start : start + self.batch_size].tolist()
            yield [Sample(self.epoch, p, int(order[p]) if p >= 0 else -1) for p in batch]

    def _positions(self) -> np.ndarray:
        """This process's positions in the order; -1 for a padding sample."""
        if self.contiguous:
            parts = [np.arange(self.length)]
        else:
            step = self.batch_size * self.world
            whole = self.length // step * step
            full_batches = np.arange(whole).reshape(-1, self.world, self.batch_size)[:, self.rank].ravel()
            parts = [full_batches, np.arange(whole, self.length)]
        rest = np.array_split(parts[-1], self.world)
        padding = np.full(len(rest[0]) - len(rest[self.rank]), -1)
        return np.concatenate([*parts[:-1], rest[self.rank], padding])
