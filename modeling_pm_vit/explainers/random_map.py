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
    seeds = [blake2b(image.tobytes(), digest_size=16).digest() for image in pixel_values.detach().float().cpu().numpy()]
    return np.stack([np.random.default_rng(list(seed)).random(grid, np.float32) for seed in seeds])
