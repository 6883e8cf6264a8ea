"""A classifier without layers, for tests of what asks a classifier."""

from types import SimpleNamespace

import torch
from torch import nn


class Linear(nn.Module):
    """A linear classifier of images that records the sizes of its batches."""

    def __init__(self, size: int, classes: int, seed: int):
        super().__init__()
        self.layer = nn.Linear(3 * size * size, classes)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / size
        self.batches: list[int] = []

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        self.batches.append(len(pixel_values))
        return SimpleNamespace(logits=self.layer(pixel_values.flatten(1)))
