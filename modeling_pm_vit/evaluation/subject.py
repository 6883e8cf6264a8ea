"""The classifier under judgement, as the protocols see it: normalised images in, logits out, in batches."""

import time
from collections.abc import Iterable

import torch
from torch import nn


class Subject:
    """
    A classifier that returns `logits`, on its device.

    Args:
        model: a PM-ViT or any image classifier of transformers.
        image_mean, image_std: of the normalisation of its input, one value a channel.
        batch_size: images of a forward pass when many variants of one image are asked for.

    Attributes:
        seconds: time spent in forward passes of `logits` so far.
    """

    def __init__(self, model: nn.Module, image_mean: Iterable[float], image_std: Iterable[float], batch_size: int = 64):
        self.model = model.eval()
        self.batch_size = batch_size
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        mean, std = (torch.tensor(list(values), dtype=torch.float32) for values in (image_mean, image_std))
        self.black = (-mean / std).reshape(-1, 1, 1).to(self.device)  # what a black pixel becomes
        self.seconds = 0.0

    @torch.no_grad()
    def logits(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`(n, channels, height, width)` to `(n, classes)`, float32; in batches of `batch_size`."""
        start = self._clock()
        parts = [
            self.model(pixel_values=part.to(self.device, self.dtype)).logits.float()
            for part in pixel_values.split(self.batch_size)
        ]
        logits = torch.cat(parts)
        self.seconds += self._clock() - start
        return logits

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def ranks(heatmaps: torch.Tensor, descending: bool = True) -> torch.Tensor:
    """
    The place of every pixel when a map is sorted; equal values keep the order of the pixels, row by row, in either
    direction. A map that holds NaN or infinity says nothing: all of it counts as equal.

    Args:
        heatmaps: `(n, height, width)`.
        descending: from the highest value to the lowest, else from the lowest.

    Returns:
        Integers of the same shape, from 0.
    """
    flat = heatmaps.flatten(1)
    flat = flat.where(flat.isfinite().all(1, keepdim=True), 0)
    order = flat.argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(heatmaps)
