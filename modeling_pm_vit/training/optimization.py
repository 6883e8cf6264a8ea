"""Trainable parameters and their learning rates."""

from collections.abc import Collection
from typing import Any

from ..backbone_pm_vit import Family
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError


def freeze_layers(model: PMViTForImageClassification, count: int) -> None:
    """Freeze the embeddings and the first `count` layers; 0 freezes nothing."""
    if not 0 <= count <= len(model.layers):
        raise InputError(f"--frozen_layers must lie in 0 ... {len(model.layers)}, got {count}.")
    depth = depths(model)
    for name, parameter in model.named_parameters():
        if count and depth[name] <= count:
            parameter.requires_grad_(False)


def parameter_groups(
    model: Any,
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
    num_layers = model.config.num_hidden_layers
    if not 0 < layer_decay <= 1:
        raise InputError(f"--layer_decay must lie in (0, 1], got {layer_decay}.")
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    depth_of = depths(model)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth, has_decay = depth_of[name], name in decayed
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


def depths(model: Any) -> dict[str, int]:
    """
    The depth of each parameter of a PM-ViT, or a `PeftModel` of one, by name: 0 for the embeddings, 1 ... `num_layers`
    for the layers, `num_layers + 1` for the final norms and the classifier.
    """
    family: Family = model.family
    last = model.config.num_hidden_layers + 1
    found = {}
    for name, _ in model.named_parameters():
        _, in_backbone, rest = name.partition(f"{family.attribute}.")
        _, is_layer, number = rest.partition(f"{family.layers}.")
        if is_layer:
            found[name] = int(number.partition(".")[0]) + 1
        else:
            is_norm = any(norm and rest.startswith(f"{norm}.") for norm in (family.final_norm, family.mean_norm))
            found[name] = 0 if in_backbone and not is_norm else last
    return found


def default_layer_decay(is_pretrained: bool, frozen_layers: int, lora_rank: int = 0) -> float:
    """
    0.75 for full fine-tuning of a pretrained model, which otherwise loses its features at usual learning rates, else 1
    (docs/experiments/mask-loss.md).
    """
    return 0.75 if is_pretrained and not frozen_layers and not lora_rank else 1.0
