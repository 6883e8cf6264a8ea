"""Patch logits: the image classifier, applied to the final token of every patch instead of what it reads ([CLS]).

For a ViT trained without masks, this is the control for the maps of PM-ViT. For a PM-ViT, these are their logits.
"""

import numpy as np
import torch

from .families import Parts
from .vit import ViTClassifier, as_maps, run


@torch.no_grad()
def patch_logits(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The logit of the class at every patch. One forward pass, shared with the classification."""
    parts = Parts(model)
    tokens: list[torch.Tensor] = []
    hook = parts.backbone.register_forward_hook(lambda module, inputs, output: tokens.append(output.last_hidden_state))
    try:
        run(model, pixel_values)
    finally:
        hook.remove()
    return as_maps(parts.patch_logits(tokens[0], labels), model, pixel_values)
