"""Attention rollout (Abnar and Zuidema, *Quantifying attention flow in transformers*, ACL 2020)."""

import numpy as np
import torch


@torch.no_grad()
def attention_rollout(model: torch.nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    The product over the layers of (mean attention of the heads + identity) / 2, from [CLS] to every patch, in [0, 1].

    The same for every class: `labels` is not looked at. One forward pass with eager attention.
    """
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the others do not return attention maps
    try:
        attentions = model(pixel_values, output_attentions=True, return_dict=True).attentions
    finally:
        model.set_attn_implementation(implementation)
    rollout = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    for attention in attentions:  # (batch, heads, tokens, tokens)
        mixed = attention.float().mean(1) + torch.eye(attention.shape[-1], device=attention.device)
        rollout = mixed / mixed.sum(-1, keepdim=True) @ rollout
    patch_size = model.config.patch_size
    patch_height, patch_width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    grid = (pixel_values.shape[-2] // patch_height, pixel_values.shape[-1] // patch_width)
    return rollout[:, 0, 1:].unflatten(-1, grid).cpu().numpy()
