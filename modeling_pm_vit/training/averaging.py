"""Exponential moving average of the weights over the steps of a run (after Polyak and Juditsky, 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..utils.errors import InputError


class WeightAverage(TrainerCallback):
    """
    The moving average of a model's trainable parameters. A [`TrainerCallback`] that updates it after every step.

    Args:
        decay: weight of the average at a step, in (0, 1). In the first steps it is smaller, `(1 + step) / (10 + step)`,
            so that the initial weights are forgotten (as in TensorFlow's `ExponentialMovingAverage`).
    """

    file_name = "average.safetensors"

    def __init__(self, model: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise InputError(f"--ema_decay must lie in (0, 1), got {decay}.")
        self.model, self.decay = model, decay
        self.names = {name for name, weight in model.named_parameters() if weight.requires_grad}
        self.weights = {name: weight.detach().clone() for name, weight in self._parameters().items()}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        weights = [weight.detach() for weight in self._parameters().values()]
        torch._foreach_lerp_(list(self.weights.values()), weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """In this context the model has the averaged weights."""
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
        return {name: weight for name, weight in self.model.named_parameters() if name in self.names}

    def _swap(self) -> None:
        for name, weight in self._parameters().items():
            weight.data, self.weights[name] = self.weights[name], weight.data
