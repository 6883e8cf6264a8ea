"""Raw attention: the attention of [CLS] in the last layer (as in Caron et al., *DINO*, ICCV 2021).

Variant: the attention of the tokens that the head reads, which is [CLS] in ViT, DeiT and ViT-MSN.
"""

import numpy as np
import torch

from .families import Parts
from .vit import ViTClassifier, as_maps, run_with_attentions


@torch.no_grad()
def raw_attention(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    The attention of the tokens that the head reads to every patch in the last layer, mean over the heads, in [0, 1].

    The same for every class: `labels` is not used. One forward pass with eager attention.
    """
    attention = run_with_attentions(model, pixel_values).attentions[-1]  # (batch, heads, tokens, tokens)
    return as_maps(Parts(model).rows_of_head(attention.float().mean(1)), model, pixel_values)
