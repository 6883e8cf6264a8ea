"""Patch features of a ViT, of any layer."""

from typing import Literal

import torch
from transformers import PreTrainedModel

from ..explainers.families import Parts
from ..explainers.vit import patch_grid, run, undisturbed
from ..utils.errors import InputError

FeatureKind = Literal["key", "token"]


@torch.no_grad()
def patch_features(
    model: PreTrainedModel, pixel_values: torch.Tensor, kind: FeatureKind = "key", layer: int = -1
) -> torch.Tensor:
    """
    Args:
        model: a PM-ViT or `ViTForImageClassification`.
        pixel_values: `(batch, channels, height, width)`; positions are interpolated where the size is not the model's.
        kind: `"key"`: the keys of a layer's attention, all heads concatenated; `"token"`: the output tokens of the
            layer, after the model's last norm if it is the last layer.
        layer: index of the layer, from 0, or from the end as -1.

    Returns:
        `(batch, hidden, height / patch, width / patch)`, float32, without [CLS].

    Raises:
        InputError: if there is no such layer.
    """
    parts = Parts(model)
    layers = parts.layers
    if not -len(layers) <= layer < len(layers):
        raise InputError(f"layer must lie in {-len(layers)} ... {len(layers) - 1}, got {layer}.")
    block = layers[layer]
    if kind == "key":
        keys = [module for name, module in block.named_modules() if name.endswith("k_proj")]
        if not keys:
            raise InputError("the keys of a timm backbone are not apart from its queries: use its tokens.")
        module = keys[0]
    else:
        module = parts.final_norm if block is layers[-1] and parts.family.final_norm else block
    outputs: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with undisturbed(model, gradients=False):
            run(model, pixel_values)
    finally:
        hook.remove()
    features = outputs[0][:, parts.prefix :].float()  # (batch, patches, hidden)
    return features.transpose(1, 2).unflatten(-1, patch_grid(model, pixel_values))
