"""LeGrad (Bousselham et al., *LeGrad: an explainability method for vision transformers via feature formation
sensitivity*, ICCV 2025; arXiv 2404.03214).

Variant: all layers, as in the paper; the authors' package takes the last two by default. The score of a layer is the
output of the final layer norm and the classifier for the mean of all its output tokens, including [CLS] and other
prefix tokens. The code of the authors pools intermediate layers in the same way; it explains CLIP, where the score is
the cosine of the pooled token and a text, instead of a logit.
"""

import numpy as np
import torch

from .families import Parts
from .vit import ViTClassifier, as_maps, differentiable, run_with_tokens, total_score


@torch.enable_grad()
def legrad(
    model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor, layers: int | None = None
) -> np.ndarray:
    """
    The positive part of the gradient of the score of each layer with respect to its attention, averaged over heads and
    query tokens, summed over the layers. Each map is scaled to [0, 1] (a constant map to 0).

    One forward pass with eager attention. The gradient of a layer passes through that layer only, so all together cost
    one backward pass.

    Args:
        layers: number of layers, the last ones; all by default.
    """
    parts = Parts(model)
    outputs, tokens_of_layers = run_with_tokens(model, differentiable(pixel_values))
    sensitivity = torch.zeros((), device=pixel_values.device)  # then (batch, patches)
    pairs = list(zip(outputs.attentions, tokens_of_layers, strict=True))
    for attention, tokens in pairs[-(layers or len(pairs)) :]:  # tokens: (batch, tokens, hidden)
        logits = parts.logits_of(parts.final_norm(tokens.mean(1)))
        (gradient,) = torch.autograd.grad(total_score(logits, labels), attention, retain_graph=True)
        sensitivity = sensitivity + gradient.float().relu().mean((1, 2))[:, parts.prefix :]
    low, high = sensitivity.aminmax(dim=-1, keepdim=True)
    heatmaps = torch.where(high > low, (sensitivity - low) / (high - low), 0.0)
    return as_maps(heatmaps, model, pixel_values)
