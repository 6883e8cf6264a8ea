"""What the explainers ask of a ViT classifier of transformers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers.utils import ModelOutput


def run(model: nn.Module, pixel_values: torch.Tensor, **kwargs) -> ModelOutput:
    """The outputs of a classifier or of its backbone; for images not of the model's own size, by interpolation."""
    if tuple(pixel_values.shape[-2:]) != _pair(model.config.image_size):
        kwargs["interpolate_pos_encoding"] = True
    return model(pixel_values, return_dict=True, **kwargs)


def run_with_attentions(model: nn.Module, pixel_values: torch.Tensor, **kwargs) -> ModelOutput:
    """The same, with `attentions`: for each layer `(batch, heads, 1 + patches, 1 + patches)`."""
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the others do not return attention maps
    try:
        return run(model, pixel_values, output_attentions=True, **kwargs)
    finally:
        model.set_attn_implementation(implementation)


def differentiable(pixel_values: torch.Tensor) -> torch.Tensor:
    """A copy through which gradients flow, also where every parameter is frozen."""
    return pixel_values.detach().clone().requires_grad_()


def total_score(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The logits `(batch, classes)` of the asked classes, summed: an image's gradient is then that of its own logit."""
    return logits.gather(1, labels.to(logits.device).clone().unsqueeze(1)).float().sum()


def patch_grid(model: nn.Module, pixel_values: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of patches."""
    patch_height, patch_width = _pair(model.config.patch_size)
    return pixel_values.shape[-2] // patch_height, pixel_values.shape[-1] // patch_width


@contextmanager
def undisturbed(model: nn.Module, gradients: bool = True) -> Iterator[None]:
    """
    Evaluation mode and frozen parameters inside; modes, `requires_grad` and `grad` are as before afterwards.

    Args:
        gradients: whether any are computed inside; without, parameters need no looking after.
    """
    in_training = [module for module in model.modules() if module.training]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters() if gradients]
    try:
        if in_training:
            model.eval()
        if gradients:
            model.requires_grad_(False)
        yield
    finally:
        for module in in_training:
            module.training = True
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def _pair(size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
