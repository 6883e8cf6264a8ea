"""Stops a run or an evaluation that has to skip every row."""

from collections.abc import Sequence

import torch
from accelerate.utils import gather_object

from ..explanation_pm_vit import IGNORE
from ..utils.errors import StoppedError

MAX_BAD_ROWS = 2000  # rows in succession, over all processes, that may be skipped before a run stops
_SHOWN_REASONS = 3


class UsableRows:
    """
    Stops a run after an epoch without a usable row, or earlier after `MAX_BAD_ROWS`. All processes decide alike.

    Args:
        name: of the dataset.
        skipped: messages of the rows that this process has skipped since the last step with a usable row; is cleared
            here.
    """

    def __init__(self, name: str, skipped: list[str]):
        self.name, self.skipped = name, skipped
        self._steps_without, self._has_seen_images = 0, False

    @property
    def none_yet(self) -> bool:
        """Whether no step of this run had a usable row."""
        return self._steps_without > 0 and not self._has_seen_images

    def after_step(
        self, labels: Sequence[torch.Tensor], images: torch.Tensor, step: int, epoch_steps: int, step_rows: int
    ) -> None:
        """
        Args:
            labels: of the micro-batches of this process, one number an image, -100 for a row that was skipped.
            images: number of images of the step over all processes, which is 0 only if each process has none; only
                then it is read from the device.
            step: number of the step, from 1.
            epoch_steps: number of steps of an epoch.
            step_rows: number of rows of a step, over all processes.

        Raises:
            StoppedError: if too many rows in succession were skipped.
        """
        if any(bool((some != IGNORE).any()) for some in labels) or bool(images.any()):
            self._steps_without, self._has_seen_images = 0, True
            self.skipped.clear()
            return
        self._steps_without += 1
        steps_to_an_epoch = epoch_steps if self._steps_without == step else 2 * epoch_steps - 1
        if self._steps_without >= min(steps_to_an_epoch, -(-MAX_BAD_ROWS // step_rows)):
            raise no_usable_row(self.name, self.skipped)

    def at_the_end(self) -> None:
        """Of a run, which may be shorter than `after_step` waits for."""
        if self.none_yet:
            raise no_usable_row(self.name, self.skipped)


def skipped_rows(messages: Sequence[str]) -> int:
    """The number of messages of all processes, which have to call it together."""
    return sum(gather_object([len(messages)]))


def no_usable_row(name: str, messages: Sequence[str]) -> StoppedError:
    """
    The error of a dataset whose rows were all skipped. All processes have to call it together.

    Args:
        name: of the dataset.
        messages: of the rows that this process has skipped.
    """
    count = skipped_rows(messages)
    if not count:  # a cache of features has padding samples, but no messages
        return StoppedError(f"{name}: the cached features hold padding samples only; remove the --feature_folder.")
    reasons = list(dict.fromkeys(gather_object(list(messages[:_SHOWN_REASONS]))))[:_SHOWN_REASONS]
    return StoppedError(
        f"{name}: all {count} rows that were read in succession had to be skipped. Check the columns, the mask "
        "encoding and the files. The first reasons:" + "".join(f"\n  {reason}" for reason in reasons)
    )
