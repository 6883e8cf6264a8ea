"""Stochastic depth: in training the branches of a layer are left out for some images (Huang et al., ECCV 2016)."""

from typing import Any

import torch
from torch import nn

from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError

_BRANCHES = ("attention", "mlp")  # of a layer of a ViT, each added to its input


def add_stochastic_depth(model: PMViTForImageClassification, rate: float, frozen_layers: int = 0) -> None:
    """
    Leave out attention and MLP of the layers, each for an image with a probability that grows linearly with the depth,
    from 0 in the first layer to `rate` in the last. In evaluation mode nothing is left out.

    Args:
        frozen_layers: number of layers that stay whole.

    Raises:
        InputError: if the layers of the model are not those of a ViT.
    """
    if not rate:
        return
    layers = list(model.layers)
    for number, layer in enumerate(layers):
        if not all(hasattr(layer, name) for name in _BRANCHES):
            raise InputError(f"--stochastic_depth needs the layers of a ViT, got {type(layer).__name__}.")
        if number >= frozen_layers:
            for name in _BRANCHES:
                getattr(layer, name).register_forward_hook(_LeaveOut(rate * number / max(1, len(layers) - 1)))


class _LeaveOut:
    """A forward hook that sets the output to 0 for images drawn at random, and scales the others accordingly."""

    def __init__(self, probability: float):
        self.probability = probability

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if not module.training or not self.probability:
            return None
        tokens = output[0] if isinstance(output, tuple) else output
        kept = torch.rand(len(tokens), 1, 1, device=tokens.device) >= self.probability
        tokens = tokens * kept.to(tokens.dtype) / (1 - self.probability)
        return (tokens, *output[1:]) if isinstance(output, tuple) else tokens
