"""Trainable parameters and their learning rates."""

from collections.abc import Collection
from typing import Any

from torch import nn

from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError


def freeze_layers(model: PMViTForImageClassification, count: int) -> None:
    """Freeze the embeddings and the first `count` layers; 0 freezes nothing."""
    layers = model.vit.layers
    if not 0 <= count <= len(layers):
        raise InputError(f"--frozen_layers must lie in 0 ... {len(layers)}, got {count}.")
    if count:
        model.vit.embeddings.requires_grad_(False)
    for layer in layers[:count]:
        layer.requires_grad_(False)


def parameter_groups(
    model: nn.Module,
    num_layers: int,
    learning_rate: float,
    layer_decay: float,
    weight_decay: float,
    decayed: Collection[str],
) -> list[dict[str, Any]]:
    """
    Parameter groups for an optimizer, with a learning rate that falls by the factor `layer_decay` with each layer
    towards the input (as in BEiT, Bao et al., ICLR 2022): the classifier has the full learning rate, the embeddings
    have `layer_decay ** (num_layers + 1)` of it.

    Args:
        decayed: names of the parameters with weight decay.
    """
    if not 0 < layer_decay <= 1:
        raise InputError(f"--layer_decay must lie in (0, 1], got {layer_decay}.")
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth, has_decay = _depth(name, num_layers), name in decayed
        group = groups.setdefault(
            (depth, has_decay),
            {
                "params": [],
                "lr": learning_rate * layer_decay ** (num_layers + 1 - depth),
                "weight_decay": weight_decay if has_decay else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def _depth(name: str, num_layers: int) -> int:
    """0 for the embeddings, 1 ... `num_layers` for the layers, `num_layers + 1` for norm and classifier."""
    if "embeddings." in name:
        return 0
    _, is_layer, rest = name.partition("layers.")
    return int(rest.split(".")[0]) + 1 if is_layer else num_layers + 1


def default_layer_decay(is_pretrained: bool, frozen_layers: int, lora_rank: int = 0) -> float:
    """
    0.75 for full fine-tuning of a pretrained model, which otherwise loses its features at usual learning rates, else 1
    (docs/experiments/mask-loss.md).
    """
    return 0.75 if is_pretrained and not frozen_layers and not lora_rank else 1.0
