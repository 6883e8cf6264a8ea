"""Uniform noise: a baseline that a useful method has to exceed."""

from hashlib import blake2b

import numpy as np
import torch

from .vit import ViTClassifier, patch_grid


def random_map(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    An independent value in [0, 1) for every patch. The seed is a hash of the image, so an image has the same map in
    every batch and every run. The same for every class. No pass through the model.
    """
    grid = patch_grid(model, pixel_values)
    return np.stack([image_generator(image).random(grid, np.float32) for image in pixel_values])


def image_generator(image: torch.Tensor) -> np.random.Generator:
    """Random numbers whose seed is a hash of the image."""
    pixels = image.detach().float().cpu().numpy()
    return np.random.default_rng(list(blake2b(pixels.tobytes(), digest_size=16).digest()))
