"""Ways to explain a ViT classifier, behind one interface.

An explainer maps `(model, pixel_values, labels)` to heat maps: `model` a PM-ViT or any ViT classifier of transformers,
`pixel_values` `(batch, channels, height, width)`, `labels` `(batch,)` the class to explain in each image. It returns an
array `(batch, height / patch, width / patch)`; larger means more important. Scales differ between explainers.
"""

from collections.abc import Callable

import numpy as np
import torch

from .patch_masks import patch_masks
from .rollout import attention_rollout

Explainer = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], np.ndarray]

EXPLAINERS: dict[str, Explainer] = {"pm-vit": patch_masks, "rollout": attention_rollout}

__all__ = ["EXPLAINERS", "Explainer", "attention_rollout", "patch_masks"]
