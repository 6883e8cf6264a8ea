"""Access to ViT classifiers of transformers for the explainers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch

# A PM-ViT or any ViT classifier of transformers. `nn.Module` types every attribute as tensor or module.
ViTClassifier: TypeAlias = Any


def run(model: ViTClassifier, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
    """The outputs of a classifier or of its backbone. Positions are interpolated for images of another size."""
    if tuple(pixel_values.shape[-2:]) != _pair(model.config.image_size):
        kwargs["interpolate_pos_encoding"] = True
    return model(pixel_values, return_dict=True, **kwargs)


def run_with_attentions(model: ViTClassifier, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
    """As [`run`], with `attentions`: for each layer `(batch, heads, 1 + patches, 1 + patches)`."""
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")  # other implementations return no attention maps
    try:
        return run(model, pixel_values, output_attentions=True, **kwargs)
    finally:
        model.set_attn_implementation(implementation)


def differentiable(pixel_values: torch.Tensor) -> torch.Tensor:
    """A copy that requires gradients, so that they exist even if every parameter is frozen."""
    return pixel_values.detach().clone().requires_grad_()


def total_score(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sum of the logits of `labels`. Its gradient with respect to an image is that of the logit of this image."""
    return logits.gather(1, labels.to(logits.device).clone().unsqueeze(1)).float().sum()


def patch_grid(model: ViTClassifier, pixel_values: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of patches."""
    patch_height, patch_width = _pair(model.config.patch_size)
    return pixel_values.shape[-2] // patch_height, pixel_values.shape[-1] // patch_width


def as_maps(patches: torch.Tensor, model: ViTClassifier, pixel_values: torch.Tensor) -> np.ndarray:
    """Values of the patches, `(batch, patches)`, as maps `(batch, rows, columns)`, float32."""
    return patches.detach().unflatten(-1, patch_grid(model, pixel_values)).float().cpu().numpy()


@contextmanager
def undisturbed(model: torch.nn.Module, gradients: bool = True) -> Iterator[None]:
    """
    Evaluation mode and frozen parameters inside the context; it restores modes, `requires_grad` and `grad`.

    Args:
        gradients: whether gradients are computed inside. If not, the parameters are left alone.
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


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
