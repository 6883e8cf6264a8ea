"""Patch logits: the image classifier, applied to the final token of every patch instead of [CLS].

For a ViT trained without masks, this is the control for the maps of PM-ViT. For a PM-ViT, these are their logits.
"""

import numpy as np
import torch

from .vit import ViTClassifier, as_maps, run


@torch.no_grad()
def patch_logits(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The logit of the class at every patch. One forward pass, shared with the classification."""
    patches = run(model.base_model, pixel_values).last_hidden_state[:, 1:]  # (batch, patches, hidden)
    labels = labels.to(patches.device)
    weight, bias = model.classifier.weight[labels], model.classifier.bias[labels]  # (batch, hidden), (batch,)
    logits = (patches @ weight.unsqueeze(-1)).squeeze(-1) + bias.unsqueeze(-1)
    return as_maps(logits, model, pixel_values)
