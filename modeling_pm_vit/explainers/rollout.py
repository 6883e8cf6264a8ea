"""Attention rollout (Abnar and Zuidema, *Quantifying attention flow in transformers*, ACL 2020).

Variant: all layers, as in the paper. The evaluation scripts of Chefer et al. (CVPR 2021), whose figures for rollout are
often quoted, leave out the first one: `start_layer=1`.
"""

import numpy as np
import torch

from ..utils.errors import InputError
from .families import Parts
from .vit import ViTClassifier, as_maps, full_precision, run_with_attentions


@torch.no_grad()
def attention_rollout(
    model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor, start_layer: int = 0
) -> np.ndarray:
    """
    The product over the layers of (mean attention of the heads + identity) / 2, from the tokens that the head reads
    ([CLS] in ViT, DeiT and ViT-MSN) to every patch, in [0, 1].

    The same for every class: `labels` is not used. One forward pass with eager attention.

    Args:
        start_layer: the first layer of the product, from 0.

    Raises:
        InputError: if the model has no such layer.
    """
    attentions = run_with_attentions(model, pixel_values).attentions
    if not 0 <= start_layer < len(attentions):
        raise InputError(f"rollout starts at a layer in 0 ... {len(attentions) - 1}, got start_layer={start_layer}.")
    identity = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    rollout = identity
    with full_precision(pixel_values):
        for attention in attentions[start_layer:]:  # (batch, heads, tokens, tokens)
            mixed = attention.float().mean(1) + identity
            rollout = mixed / mixed.sum(-1, keepdim=True) @ rollout
    return as_maps(Parts(model).rows_of_head(rollout), model, pixel_values)
