"""Raw attention: the attention of [CLS] in the last layer (as in Caron et al., *DINO*, ICCV 2021)."""

import numpy as np
import torch

from .vit import ViTClassifier, as_maps, run_with_attentions


@torch.no_grad()
def raw_attention(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    The attention of [CLS] to every patch in the last layer, mean over the heads, in [0, 1].

    The same for every class: `labels` is not used. One forward pass with eager attention.
    """
    attention = run_with_attentions(model, pixel_values).attentions[-1]  # (batch, heads, tokens, tokens)
    to_patches = attention[:, :, 0, 1:].float().mean(1)
    return as_maps(to_patches, model, pixel_values)
