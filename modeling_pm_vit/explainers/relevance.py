"""Attention-gradient relevance (Chefer, Gur and Wolf, *Generic attention-model explainability for interpreting
bi-modal and encoder-decoder transformers*, ICCV 2021): the rule for self-attention, eqs. 5 and 6, over all layers."""

import numpy as np
import torch

from .families import Parts
from .vit import ViTClassifier, as_maps, differentiable, full_precision, run_with_attentions, total_score


@torch.enable_grad()
def attention_relevance(model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    Start with R = identity; for each layer R <- R + mean over heads of relu(attention * gradient of the logit) R. The
    map is the row of the tokens that the head reads ([CLS] in ViT, DeiT and ViT-MSN) at the patches. It is not
    negative.

    One forward pass with eager attention, one backward pass.
    """
    outputs = run_with_attentions(model, differentiable(pixel_values))
    gradients = torch.autograd.grad(total_score(outputs.logits, labels), outputs.attentions)
    relevance = torch.eye(gradients[0].shape[-1], device=gradients[0].device)
    with full_precision(pixel_values):
        for attention, gradient in zip(outputs.attentions, gradients, strict=True):  # (batch, heads, tokens, tokens)
            step = (attention.detach().float() * gradient.float()).relu().mean(1)
            relevance = relevance + step @ relevance
    return as_maps(Parts(model).rows_of_head(relevance), model, pixel_values)
