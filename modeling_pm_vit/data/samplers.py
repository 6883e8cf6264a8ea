"""Which image comes when. Every order is computed from (seed, epoch, position) alone: it needs no state, so that a run
can go on from any step, and each of any number of processes knows its own part.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One image of an epoch; its augmentation is a function of `(epoch, position)` and the run's seed."""

    epoch: int
    position: int
    index: int  # of the row; -1 for a blank that fills up a batch


def shuffled(length: int, seed: int, epoch: int, blocks: Sequence[int] | None = None, window: int = 16) -> np.ndarray:
    """
    The rows `0 ... length - 1` in the order of an epoch.

    Args:
        blocks: where a source is read block by block, the lengths of its blocks: they are shuffled, and then the rows
            within each `window` of them, so that only as many have to be held at a time.
    """
    rng = np.random.default_rng((seed, epoch))
    if blocks is None:
        return rng.permutation(length)
    starts = np.cumsum([0, *blocks])
    parts = []
    chosen = rng.permutation(len(blocks))
    for first in range(0, len(chosen), window):
        rows = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in chosen[first : first + window]])
        parts.append(rng.permutation(rows))
    return np.concatenate(parts)


def interleaved(main: np.ndarray, others: int, rate: float, seed: int, epoch: int) -> np.ndarray:
    """
    An epoch's order of one source with rows of a second one mixed in, evenly spread.

    Each row of `main` comes once; of every `1 / rate` rows one is of the second source, which is gone through in
    shuffled passes that run on from epoch to epoch.

    Args:
        main: order of the first source.
        others: number of rows of the second, whose row k becomes the index `len(main) + k`.
        rate: share of the second source in the result, in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of the second source must lie in [0, 1), got {rate}.")
    extra = round(len(main) * rate / (1 - rate))
    if not others or not extra:
        return main
    drawn = epoch * extra + np.arange(extra)
    passes = {p: np.random.default_rng((seed, 1, p)).permutation(others) for p in np.unique(drawn // others).tolist()}
    order = np.empty(len(main) + extra, dtype=np.int64)
    is_extra = np.diff(np.arange(len(order) + 1) * extra // len(order)) > 0
    order[~is_extra] = main
    order[is_extra] = [len(main) + passes[d // others][d % others] for d in drawn.tolist()]
    return order


class DistributedBatchSampler:
    """
    One process's batches of an epoch, as lists of [`Sample`].

    Over all processes every row comes exactly once an epoch, and all have equally many batches of equal sizes; where
    the rows do not suffice, blanks (index -1) fill up the last one.

    Args:
        order: from an epoch to its order of `length` rows.
        length: number of rows an epoch.
        batch_size: of one process.
        rank, world: number of this process, and how many there are.
        contiguous: give each process one stretch of the order instead of a part of every global batch. A source that is
            read block by block is then read about once in all, instead of once by each process.
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
        """This process's positions in the order; -1 for a blank."""
        if self.contiguous:
            parts = [np.arange(self.length)]
        else:
            step = self.batch_size * self.world
            whole = self.length // step * step
            own = np.arange(whole).reshape(-1, self.world, self.batch_size)[:, self.rank].ravel()
            parts = [own, np.arange(whole, self.length)]
        rest = np.array_split(parts[-1], self.world)
        blanks = np.full(len(rest[0]) - len(rest[self.rank]), -1)
        return np.concatenate([*parts[:-1], rest[self.rank], blanks])
