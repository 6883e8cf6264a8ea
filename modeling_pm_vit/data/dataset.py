"""The dataset of a run: each example depends on its position in an epoch only, and bad rows are handled here."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from torch.utils.data import Dataset

from ..utils.errors import InputError
from .decoding import BAD_ROW_ERRORS
from .rows import Rows, place_of
from .samplers import DistributedBatchSampler, Sample, balanced, interleaved, shuffled
from .shared_cache import SharedCache
from .transforms import ExampleTransform

logger = logging.getLogger(__name__)
OnBadSample = Literal["raise", "skip"]


class ExampleDataset(Dataset[dict[str, Any]]):
    """
    Maps a [`Sample`] to its example.

    Args:
        sources: one or two pairs of rows and the transform that makes examples of them. The rows of the second source
            are numbered after those of the first.
        seed: of the augmentation.
        on_bad_sample: `"raise"`, or `"skip"`: log the error and return a padding sample with the message as
            `bad_sample`.
        repeats: in a shuffled order each row comes so many times in succession, and only a part of them in an epoch
            (Hoffer et al., *Augment your batch*, CVPR 2020).
        labels: of the rows of the first source, -1 for none; in a shuffled order their classes come equally often.

    Attributes:
        cache: keeps decoded rows; `None`: each is decoded whenever it comes.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Rows, ExampleTransform]],
        seed: int = 0,
        on_bad_sample: OnBadSample = "raise",
        repeats: int = 1,
        labels: np.ndarray | None = None,
    ):
        self.sources, self.seed, self.on_bad_sample, self.repeats = list(sources), seed, on_bad_sample, repeats
        self.labels = labels
        self.cache: SharedCache | None = None

    @property
    def name(self) -> str:
        return " and ".join(rows.name for rows, _ in self.sources)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches of an example."""
        return self.sources[0][1].grid

    def __len__(self) -> int:
        return sum(len(rows) for rows, _ in self.sources)

    def __getitem__(self, sample: Sample) -> dict[str, Any]:
        if sample.index < 0:
            return self.sources[0][1].padding_sample()
        rows, transform, index = self._row(sample.index)
        seed = (self.seed, sample.epoch, sample.position)
        row: dict[str, Any] = {}
        try:
            decoded = None if self.cache is None else self.cache.get(sample.index)
            if decoded is None:
                row = rows[index]
                decoded = transform.decode(row, seed if self.cache is None else None)
                if self.cache is not None:
                    self.cache.put(sample.index, decoded)
            example = transform.transform(decoded, np.random.default_rng(seed))
        except BAD_ROW_ERRORS as error:
            message = f"{place_of(rows, index, row, transform.image_column)}: {_described(error)}"
            if self.on_bad_sample == "raise":
                raise InputError(f"{message} Repair the row, or leave it out with --on_bad_sample skip.") from error
            logger.warning("skipped: %s", message)
            example = self.sources[0][1].padding_sample() | {"bad_sample": message}
        return example | {"seed": seed}

    def _row(self, index: int) -> tuple[Rows, ExampleTransform, int]:
        for rows, transform in self.sources:
            if index < len(rows):
                return rows, transform, index
            index -= len(rows)
        raise IndexError(f"there are only {len(self)} rows.")

    def describe(self, samples: Sequence[Sample], shown: int = 4) -> str:
        """The places of the rows of some samples, for messages: `photos (train), row 5; photos (train), row 2; ...`."""
        rows = [self._row(sample.index) for sample in samples if sample.index >= 0]
        places = [source.place(index) for source, _, index in rows[:shown]]
        return "; ".join([*places, "..."] if len(rows) > shown else places)

    def batches(
        self, batch_size: int, rank: int = 0, world: int = 1, shuffle: bool = True, second_rate: float = 0.0
    ) -> DistributedBatchSampler:
        """
        The batches of one of `world` processes.

        Args:
            shuffle: in the same order for the same seed and epoch; otherwise in the order of the rows.
            second_rate: share of the second source in an epoch, in which each row of the first comes exactly once
                (unless classes are balanced).
        """
        first = self.sources[0][0]
        others = len(self) - len(first)
        order: Callable[[int], np.ndarray]
        if shuffle:

            def order(epoch: int) -> np.ndarray:
                if self.labels is not None:
                    main = balanced(self.labels, self.seed, epoch)
                else:
                    main = shuffled(len(first), self.seed, epoch, first.blocks)
                main = main.repeat(self.repeats)[: len(first)] if self.repeats > 1 else main
                return interleaved(main, others, second_rate, self.seed, epoch)

        else:

            def order(epoch: int) -> np.ndarray:
                return np.arange(len(first))

        return DistributedBatchSampler(
            order, len(order(0)), batch_size, rank, world, contiguous=first.blocks is not None
        )


def _described(error: Exception) -> str:
    """The message as a sentence; other errors than those of values with their type, as `KeyError: 'x'`."""
    text = str(error) or type(error).__name__
    if isinstance(error, (KeyError, TypeError)):
        text = f"{type(error).__name__}: {text}"
    return text if text.endswith(".") else f"{text}."
