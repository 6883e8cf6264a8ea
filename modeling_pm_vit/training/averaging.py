"""An average of the weights over the steps of a run (Polyak and Juditsky, 1992), exponentially fading."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback


class WeightAverage(TrainerCallback):
    """
    The moving average of a model's trainable parameters. A [`TrainerCallback`]: it goes on after every step.

    Args:
        decay: how much of it stays at a step, in (0, 1). Early on it is less, `(1 + step) / (10 + step)`, so that the
            first weights are forgotten (as in TensorFlow's `ExponentialMovingAverage`).
    """

    file_name = "average.safetensors"

    def __init__(self, model: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"the decay of the averaged weights must lie in (0, 1), got {decay}.")
        self.model, self.decay = model, decay
        self.weights = {name: weight.detach().clone() for name, weight in self._parameters().items()}

    def on_step_end(self, args, state, control, **kwargs) -> None:
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        weights = [weight.detach() for weight in self._parameters().values()]
        torch._foreach_lerp_(list(self.weights.values()), weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save(self, folder: Path) -> None:
        save_file(self.weights, folder / self.file_name)

    def load(self, folder: Path) -> None:
        saved = load_file(folder / self.file_name)
        for name, weight in self.weights.items():
            weight.copy_(saved[name])

    def _parameters(self) -> dict[str, nn.Parameter]:
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def _swap(self) -> None:
        for name, weight in self._parameters().items():
            weight.data, self.weights[name] = self.weights[name], weight.data
