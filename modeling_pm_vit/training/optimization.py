"""Which weights learn, and how fast."""

from collections.abc import Collection

from torch import nn

from ..modeling_pm_vit import PMViTForImageClassification


def freeze_layers(model: PMViTForImageClassification, count: int) -> None:
    """Keep the embeddings and the first `count` layers as they are (nothing for 0)."""
    layers = model.vit.layers
    if not 0 <= count <= len(layers):
        raise ValueError(f"the number of frozen layers must lie in 0 ... {len(layers)}, got {count}.")
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
) -> list[dict]:
    """
    An optimizer's groups with a learning rate that falls by `layer_decay` with every layer towards the image (as in
    BEiT, Bao et al., ICLR 2022): the classifier has the full one, the embeddings `layer_decay ** (num_layers + 1)`.

    Args:
        decayed: names of the parameters that have weight decay.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"the decay of the learning rate by layers must lie in (0, 1], got {layer_decay}.")
    groups: dict[tuple[int, bool], dict] = {}
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
    """0 for the embeddings, 1 ... `num_layers` for the layers, one more for what follows."""
    if "embeddings." in name:
        return 0
    _, is_layer, rest = name.partition("layers.")
    return int(rest.split(".")[0]) + 1 if is_layer else num_layers + 1
