"""Finer-CAM (Zhang et al., *Finer-CAM: spotting the difference reveals finer details for visual explanation*, CVPR
2025), computed by the package `grad-cam`.

Variant: that package's defaults. Grad-CAM of the difference between the logit of the class and those of the three
classes with the most similar logits (fewer if the model has fewer), weighted by their probabilities; alpha = 1.
Activations as in [`grad_cam`].
"""

import numpy as np
import torch

from ..utils.errors import InputError
from ..utils.extras import import_extra
from .grad_cam import patch_cam
from .vit import ViTClassifier, differentiable


@torch.enable_grad()
def finer_cam(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    One value per patch, scaled by the package: negative values are set to 0, then each map is scaled to [0, 1].

    One forward and one backward pass; image by image, as the package takes one class per call.

    Raises:
        InputError: if the model has a single class.
    """
    if model.config.num_labels < 2:
        raise InputError("finer-cam compares classes, and the model has one: use grad-cam.")
    package = import_extra("pytorch_grad_cam", "the explainer finer-cam", "eval")
    cam = package.FinerCAM(None, [], base_method=lambda *_: patch_cam(package.GradCAM, model, pixel_values))
    pairs = zip(differentiable(pixel_values).split(1), labels.tolist(), strict=True)
    try:
        return np.concatenate([cam(image, target_idx=label) for image, label in pairs])
    finally:
        cam.base_cam.activations_and_grads.release()
