"""Attention rollout (Abnar and Zuidema, *Quantifying attention flow in transformers*, ACL 2020)."""

import numpy as np
import torch

from .vit import ViTClassifier, as_maps, run_with_attentions


@torch.no_grad()
def attention_rollout(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    The product over the layers of (mean attention of the heads + identity) / 2, from [CLS] to every patch, in [0, 1].

    The same for every class: `labels` is not used. One forward pass with eager attention.
    """
    attentions = run_with_attentions(model, pixel_values).attentions
    identity = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    rollout = identity
    for attention in attentions:  # (batch, heads, tokens, tokens)
        mixed = attention.float().mean(1) + identity
        rollout = mixed / mixed.sum(-1, keepdim=True) @ rollout
    return as_maps(rollout[:, 0, 1:], model, pixel_values)
