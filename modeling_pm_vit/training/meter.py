"""Losses, speed and skipped rows of the training steps, for the log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator

from ..data.collation import image_labels
from ..explanation_pm_vit import IGNORE


class Meter:
    """Sums over the steps since it was last read, over all processes."""

    def __init__(self) -> None:
        self.skipped: dict[str, None] = {}  # messages of the distinct rows that were skipped, in order
        self.recently_skipped: list[str] = []  # since the last step with a usable image: see `UsableRows`
        self._reset()

    def _reset(self) -> None:
        self._terms: list[tuple[int, torch.Tensor]] = []
        self._steps = self._images = 0
        self._waited = 0.0
        self._since = time.perf_counter()

    def step(self, batches: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The batches of one step. Measures the time spent waiting for them and takes out the notes of bad rows."""
        self._steps += 1
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            messages = batch.pop("bad_samples", [])
            self.skipped |= dict.fromkeys(messages)
            self.recently_skipped += messages
            self._images += int((image_labels(batch) != IGNORE).sum())
            yield batch

    def add_losses(self, step: int, classification: torch.Tensor, mask: torch.Tensor) -> None:
        """Of one micro-batch of a step, as parts of the loss of the whole step."""
        self._terms.append((step, torch.stack((classification.detach().float(), mask.detach().float()))))

    def losses(self) -> tuple[list[int], torch.Tensor]:
        """The steps of the micro-batches since the last `read`, and both losses of each `(micro-batches, 2)`."""
        if not self._terms:
            return [], torch.zeros(0, 2)
        steps, losses = zip(*self._terms, strict=True)
        return list(steps), torch.stack(losses)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time in this context is not measured."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - start

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """
        Means since the last call: `classification_loss`, `mask_loss`, `images_per_second` over all processes and
        `data_wait_share`, the fraction of the time spent waiting for data. All processes have to call it.
        """
        if not self._terms:
            return {}
        elapsed = time.perf_counter() - self._since
        losses = self.losses()[1].sum(0)
        counts = torch.tensor([self._images, self._waited / elapsed, len(self.skipped)], device=losses.device)
        sums = accelerator.reduce(torch.cat((losses, counts)), "sum").tolist()
        values: dict[str, float] = {
            "classification_loss": sums[0] / self._steps,
            "mask_loss": sums[1] / self._steps,
            "images_per_second": round(sums[2] / elapsed, 2),
            "data_wait_share": round(sums[3] / accelerator.num_processes, 4),
        }
        if sums[4]:
            values["skipped_samples"] = int(sums[4])
        self._reset()
        return values
