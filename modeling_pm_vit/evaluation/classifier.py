"""The evaluated classifier: normalised images in, logits out, in batches."""

import time
from collections.abc import Iterable
from typing import Any

import torch

from ..explanation_pm_vit import at_temperature


class Classifier:
    """
    A classifier that returns `logits`, on its device.

    Args:
        model: a PM-ViT or any image classifier of transformers.
        image_mean, image_std: of the normalisation of its input, one value a channel.
        batch_size: images per forward pass where many variants of one image are classified.
        temperature: of its classes: `logits` are divided by it, so that their softmax is what a user is told.

    Attributes:
        seconds: time spent in forward passes of `logits` so far.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        image_mean: Iterable[float],
        image_std: Iterable[float],
        batch_size: int = 64,
        temperature: float = 1.0,
    ):
        self.model: Any = model.eval()  # nn.Module types each attribute as tensor or module
        self.batch_size, self.temperature = batch_size, temperature
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        mean, std = (torch.tensor(list(values), dtype=torch.float32) for values in (image_mean, image_std))
        self.black = (-mean / std).reshape(-1, 1, 1).to(self.device)  # a black pixel after normalisation
        self.seconds = 0.0

    @torch.no_grad()
    def logits(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`(n, channels, height, width)` to `(n, classes)`, float32; in batches of `batch_size`."""
        start = self._clock()
        parts = [
            self.model(pixel_values=part.to(self.device, self.dtype)).logits.float()
            for part in pixel_values.split(self.batch_size)
        ]
        logits = at_temperature(torch.cat(parts), self.temperature)
        self.seconds += self._clock() - start
        return logits

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
