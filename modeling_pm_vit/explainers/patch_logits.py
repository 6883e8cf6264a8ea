"""Patch logits: the image classifier, applied to the final token of every patch instead of [CLS].

For a ViT trained without masks, this is the control for the maps of PM-ViT. For a PM-ViT, these are their logits.
"""

import numpy as np
import torch

from ..modeling_pm_vit import class_logits
from .vit import ViTClassifier, as_maps, run


@torch.no_grad()
def patch_logits(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The logit of the class at every patch. One forward pass, shared with the classification."""
    patches = run(model.base_model, pixel_values).last_hidden_state[:, 1:]  # (batch, patches, hidden)
    logits = class_logits(model.classifier, patches, labels.to(patches.device).unsqueeze(1)).squeeze(1)
    return as_maps(logits, model, pixel_values)
