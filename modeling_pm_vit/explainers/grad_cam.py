"""Grad-CAM and related methods, computed by the package `grad-cam` (Gildenblat et al.).

Variant, as that package recommends for ViTs: the activations are the patch tokens after the first layer norm of the
last block, the score is the logit of the class. Activations of a layer norm can be negative; the papers assume a ReLU.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ..utils.extras import import_extra
from .families import Parts
from .vit import ViTClassifier, differentiable, patch_grid, run


@torch.enable_grad()
def grad_cam(
    model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor, method: str = "GradCAM"
) -> np.ndarray:
    """
    One value per patch, scaled by the package: negative values are set to 0, then each map is scaled to [0, 1].

    One forward and one backward pass.

    Args:
        method: name of the class in `pytorch_grad_cam`.
    """
    package = import_extra("pytorch_grad_cam", "the explainer grad-cam", "eval")
    cam = patch_cam(getattr(package, method), model, pixel_values)
    targets = [package.utils.model_targets.ClassifierOutputTarget(label) for label in labels.tolist()]
    try:
        return cam(differentiable(pixel_values), targets)
    finally:
        cam.activations_and_grads.release()


def patch_cam(method: Callable[..., Any], model: ViTClassifier, pixel_values: torch.Tensor) -> Any:
    """An object of a class of `pytorch_grad_cam` for the model: one value per patch, not resized to pixels."""
    grid, parts = patch_grid(model, pixel_values), Parts(model)

    def as_images(tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, parts.prefix :].float().transpose(1, 2).unflatten(-1, grid)  # (batch, hidden, rows, columns)

    cam = method(_Logits(model), [parts.first_norm], as_images)
    cam.get_target_width_height = lambda _: grid[::-1]
    return cam


class _Logits(nn.Module):
    """A classifier that returns a tensor, as the package expects."""

    def __init__(self, model: ViTClassifier):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return run(self.model, pixel_values).logits.float()
