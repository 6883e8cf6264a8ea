from types import SimpleNamespace

import pytest
import torch
from torch import nn

from modeling_pm_vit.evaluation.subject import Subject


class Linear(nn.Module):
    """A linear classifier of images that keeps the sizes of the batches it saw."""

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


@pytest.fixture
def make_subject():
    """A [`Subject`] around a linear classifier of images of `size` x `size`."""

    def make(size: int = 8, classes: int = 4, batch_size: int = 64, seed: int = 0) -> Subject:
        return Subject(Linear(size, classes, seed), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), batch_size)

    return make
