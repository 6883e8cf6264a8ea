"""The examples of a run, each a function of its place in an epoch and nothing else; and what to do with bad rows."""

import logging
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from .samplers import DistributedBatchSampler, Sample, interleaved, shuffled
from .sources import Rows
from .transforms import ExampleTransform

logger = logging.getLogger(__name__)
OnBadSample = Literal["raise", "skip"]
# What decoders raise.
_UNUSABLE = (OSError, SyntaxError, ValueError, TypeError, KeyError, Image.DecompressionBombError)


class ExampleDataset(Dataset):
    """
    Takes a [`Sample`], gives the example.

    Args:
        sources: one, or a second one whose rows are numbered on from the first's, each with the function that makes
            examples of its rows.
        seed: of the augmentation.
        on_bad_sample: `"raise"`, or `"skip"`: log it, and put a blank in its place that carries the message as
            `bad_sample`.
    """

    def __init__(
        self, sources: Sequence[tuple[Rows, ExampleTransform]], seed: int = 0, on_bad_sample: OnBadSample = "raise"
    ):
        self.sources, self.seed, self.on_bad_sample = list(sources), seed, on_bad_sample

    def __len__(self) -> int:
        return sum(len(rows) for rows, _ in self.sources)

    def __getitem__(self, draw: Sample) -> dict:
        if draw.index < 0:
            return self.sources[0][1].blank()
        # 63 bits: what torch takes as a seed on every platform.
        seed = int(np.random.SeedSequence((self.seed, draw.epoch, draw.position)).generate_state(1, np.uint64)[0] >> 1)
        rows, examples, index = self._row(draw.index)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                example = examples(rows[index])
        except _UNUSABLE as error:
            message = f"{rows.name}, row {index}: {error}"
            if self.on_bad_sample == "raise":
                raise ValueError(f"{message} (--on_bad_sample skip leaves such rows out.)") from error
            logger.warning("skipped: %s", message)
            example = self.sources[0][1].blank() | {"bad_sample": message}
        return example | {"seed": seed}

    def _row(self, index: int) -> tuple[Rows, ExampleTransform, int]:
        for rows, examples in self.sources:
            if index < len(rows):
                return rows, examples, index
            index -= len(rows)
        raise IndexError(f"there are only {len(self)} rows.")

    def batches(
        self, batch_size: int, rank: int = 0, world: int = 1, shuffle: bool = True, second_rate: float = 0.0
    ) -> DistributedBatchSampler:
        """
        The batches of one of `world` processes.

        Args:
            shuffle: in the same way for the same seed and epoch; else as the rows come.
            second_rate: share of the second source in an epoch, in which the first comes exactly once.
        """
        first = self.sources[0][0]
        others = len(self) - len(first)
        order: Callable[[int], np.ndarray]
        if shuffle:

            def order(epoch):
                main = shuffled(len(first), self.seed, epoch, first.blocks)
                return interleaved(main, others, second_rate, self.seed, epoch)

        else:

            def order(epoch):
                return np.arange(len(first))

        return DistributedBatchSampler(
            order, len(order(0)), batch_size, rank, world, contiguous=first.blocks is not None
        )
