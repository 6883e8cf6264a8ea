"""LeGrad (Bousselham et al., *LeGrad: an explainability method for vision transformers via feature formation
sensitivity*, ICCV 2025; arXiv 2404.03214).

Variant: all layers; a layer's score is what the model's final layer norm and classifier make of the mean of all its
output tokens, [CLS] among them, which is how the authors' code pools intermediate layers.
"""

import numpy as np
import torch

from .vit import differentiable, patch_grid, run_with_attentions, total_score


@torch.enable_grad()
def legrad(model: torch.nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    The positive part of the gradient of each layer's score by the same layer's attention, mean over heads and
    attending tokens, summed over the layers; each map stretched to [0, 1] (constant: 0).

    One forward pass with eager attention. Each layer's gradient runs through that layer alone, so together they are one
    backward pass.
    """
    outputs = run_with_attentions(model, differentiable(pixel_values), output_hidden_states=True)
    sensitivity = 0
    for attention, tokens in zip(outputs.attentions, outputs.hidden_states[1:], strict=True):  # (batch, tokens, hidden)
        logits = model.classifier(model.base_model.layernorm(tokens.mean(1)))
        (gradient,) = torch.autograd.grad(total_score(logits, labels), attention, retain_graph=True)
        sensitivity = sensitivity + gradient.float().relu().mean((1, 2))[:, 1:]  # (batch, patches)
    low, high = sensitivity.aminmax(dim=-1, keepdim=True)
    heatmaps = torch.where(high > low, (sensitivity - low) / (high - low), 0.0)
    return heatmaps.unflatten(-1, patch_grid(model, pixel_values)).float().cpu().numpy()
