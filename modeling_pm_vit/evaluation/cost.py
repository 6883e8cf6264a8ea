"""The time of an explanation, in forward passes of the ViT classifier that it explains."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, ViTConfig, ViTForImageClassification

from ..backbone_pm_vit import pair
from ..explainers import Explainer
from ..utils.timing import summarize, take_turns

_MANY_PASSES = 5  # explainers with more passes are timed on one image, twice


def explanation_costs(
    explainers: Mapping[str, Explainer], model: PreTrainedModel, pixel_values: torch.Tensor, rounds: int = 5
) -> dict[str, dict[str, float]]:
    """
    Args:
        explainers: to time.
        model: a PM-ViT.
        pixel_values: a batch of images.
        rounds: in each the ViT baseline and the explainer run in turn; one more round before them is not counted.

    Returns:
        For each explainer [`summarize`] of its time divided by that of the ViT baseline.
    """
    own_size = tuple(pixel_values.shape[-2:]) == pair(model.config.image_size)
    plain = vit_baseline(model) if own_size else _WithoutMaps(model)  # which interpolates positions
    pixel_values = pixel_values.to(model.device, model.dtype)
    costs = {}
    for name, explainer in explainers.items():
        many = explainer.forward_passes > _MANY_PASSES
        images = pixel_values[:1] if many else pixel_values
        labels = torch.zeros(len(images), dtype=torch.long, device=model.device)

        def forward(images: torch.Tensor = images) -> None:
            with torch.no_grad():
                plain(pixel_values=images)

        def explain(
            explainer: Explainer = explainer, images: torch.Tensor = images, labels: torch.Tensor = labels
        ) -> None:
            explainer(model, images, labels)

        times = take_turns(explain, forward, 2 if many else rounds + 1, model.device)
        costs[name] = summarize(times if many else times[1:])
    return costs


class _WithoutMaps(nn.Module):
    """A PM-ViT as a classifier alone."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.image_logits(self.model.run_backbone(pixel_values).last_hidden_state)
        return logits


def vit_baseline(model: Any) -> nn.Module:
    """The `ViTForImageClassification` with a PM-ViT's weights, which the two share, or the same for its backbone."""
    if model.config.backbone_config is not None or model.config.pooling != "cls":
        return _WithoutMaps(model)
    settings = {k: v for k, v in model.config.to_dict().items() if k in ViTConfig().to_dict() and k != "model_type"}
    config = ViTConfig(**settings | {"num_labels": model.config.num_labels})
    with torch.device("meta"):
        plain = ViTForImageClassification(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.set_attn_implementation(model.config._attn_implementation)
    plain.eval()
    return plain
