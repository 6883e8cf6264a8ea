"""Prediction maps: the image classifier, applied to every patch's final token as if it were [CLS].

On a ViT trained without masks this is the control for PM-ViT's own maps; on a PM-ViT it is their logits.
"""

import numpy as np
import torch

from .vit import patch_grid, run


@torch.no_grad()
def patch_logits(model: torch.nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The logit of the class at every patch. One forward pass, shared with the classification."""
    patches = run(model.base_model, pixel_values).last_hidden_state[:, 1:]  # (batch, patches, hidden)
    labels = labels.to(patches.device)
    weight, bias = model.classifier.weight[labels], model.classifier.bias[labels]  # (batch, hidden), (batch,)
    logits = (patches @ weight.unsqueeze(-1)).squeeze(-1) + bias.unsqueeze(-1)
    return logits.float().unflatten(-1, patch_grid(model, pixel_values)).cpu().numpy()
