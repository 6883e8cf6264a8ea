"""The backbones of PM-ViT: which families of Vision Transformers there are, where they keep their parts, what their
classifiers read, and why others are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

# What a classifier reads of the final tokens: the class token, the mean of the patches, or both, concatenated.
Pooling = Literal["cls", "mean", "cls_mean"]


@dataclass(frozen=True)
class Family:
    """
    A family of Vision Transformers, as transformers builds it.

    Args:
        attribute: where the classifier of transformers keeps its backbone, so that checkpoints are interchangeable.
        pooling: what this classifier reads.
        prefix: number of tokens before the patches, without registers.
        layers, first_norm, final_norm: attributes of the backbone, of a layer (before its attention), and of the
            backbone ("" if the final tokens are those that leave the last layer).
        mean_norm: attribute of the backbone: the norm after the mean of the patches, where a model can have one.
        interpolates: whether `forward` takes `interpolate_pos_encoding`.
        settings: of the configuration of the backbone, which PM-ViT sets.
        arguments: of the class of the backbone.
        unused: parts of the backbone that PM-ViT leaves out.
    """

    attribute: str = "vit"
    pooling: Pooling = "cls"
    prefix: int = 1
    layers: str = "layers"
    first_norm: str = "layernorm_before"
    final_norm: str = "layernorm"
    mean_norm: str = ""
    interpolates: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


_DINOV2 = Family("dinov2", "cls_mean", layers="encoder.layer", first_norm="norm1", interpolates=False)
_CLIP = Family("vision_model", "mean", layers="encoder.layers", first_norm="layer_norm1", final_norm="")
FAMILIES = {  # by `model_type`
    "vit": Family(arguments={"add_pooling_layer": False}),
    "vit_msn": Family(),
    "deit": Family("deit", prefix=2, arguments={"add_pooling_layer": False}),
    "dinov2": replace(_DINOV2, settings={"use_mask_token": False}),
    "dinov2_with_registers": replace(_DINOV2, attribute="dinov2_with_registers"),
    "dinov3_vit": replace(_DINOV2, attribute="vit", pooling="cls", layers="model.layer", final_norm="norm"),
    "ijepa": Family("ijepa", "mean", prefix=0),
    "beit": Family("beit", "mean", mean_norm="pooler.layernorm", settings={"use_mask_token": False}),
    "siglip_vision_model": replace(
        _CLIP, prefix=0, final_norm="post_layernorm", settings={"vision_use_head": False}, unused=("head",)
    ),
    "clip_vision_model": replace(_CLIP, unused=("post_layernorm",)),
    "timm_wrapper": Family(
        prefix=0,  # `num_prefix_tokens` of its configuration
        layers="timm_model.blocks",
        first_norm="norm1",
        final_norm="timm_model.norm",
        mean_norm="timm_model.fc_norm",
        interpolates=False,
        settings={"do_pooling": False},
    ),
}
COMPOSITES = ("clip", "siglip")  # their `vision_config` is that of the backbone

_HIERARCHICAL = {
    *("swin", "swinv2", "hiera", "pvt", "pvt_v2", "convnext", "convnextv2", "dinov3_convnext", "resnet", "regnet"),
    *("bit", "cvt", "levit", "focalnet", "poolformer", "segformer", "swiftformer", "mobilevit", "mobilevitv2", "van"),
    *("efficientnet", "efficientformer", "mobilenet_v1", "mobilenet_v2", "dinat", "nat", "hgnet_v2", "textnet"),
}
_NEAREST = "The nearest that works is"
_REFUSED = {  # by `model_type`: why, and what works
    "siglip2": "NaFlex packs patches of images of any shape, without a fixed grid. "
    f"{_NEAREST} a SigLIP 2 of fixed resolution, such as google/siglip2-base-patch16-224.",
    "data2vec-vision": f"transformers builds it in an older form. {_NEAREST} a BEiT of its size.",
}
_REFUSED |= {"siglip2_vision_model": _REFUSED["siglip2"]}


def refusal(config: Mapping[str, Any]) -> str | None:
    """
    Why PM-ViT cannot explain a model, and the nearest model that it can; `None` if it can.

    Args:
        config: of the model, as in `config.json`.
    """
    kind = config.get("model_type", "")
    if kind in _HIERARCHICAL:
        return (
            "it is hierarchical or convolutional: its final features are not one token per patch. "
            f"{_NEAREST} a ViT of its size, such as a DINOv2, DINOv3 or SigLIP."
        )
    if "DeiTForImageClassificationWithTeacher" in (config.get("architectures") or ()):
        return (
            "it averages the heads of two tokens, the class and the distillation token. "
            f"{_NEAREST} a DeiT without distillation, such as facebook/deit-small-patch16-224."
        )
    if kind in _REFUSED:
        return _REFUSED[kind]
    if kind in FAMILIES or kind in COMPOSITES:
        return None
    return f"its final tokens are not known. Backbones are {', '.join(FAMILIES)}."


def as_backbone_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    The argument `backbone_config` of [`PMViTConfig`] for a classifier of transformers, whose pooling is the default.

    Args:
        config: of the classifier, as in `config.json`; [`refusal`] has nothing against it.
    """
    kind = config["model_type"]
    backbone = dict(config)
    if kind in COMPOSITES:
        backbone = {"model_type": f"{kind}_vision_model"} | dict(config.get("vision_config") or {})
    for name in ("id2label", "label2id", "num_labels", "problem_type", "architectures", "auto_map"):
        backbone.pop(name, None)  # those of the classifier
    return {"backbone_config": backbone}


def own_pooling(backbone: Any, family: Family) -> Pooling:
    """What a classifier of a family reads, from the configuration of its backbone."""
    if not getattr(backbone, "use_mean_pooling", True):  # of BEiT
        return "cls"
    found: Pooling = getattr(backbone, "pooling", family.pooling)  # of timm
    return found


def family_of(config: Any) -> Family:
    """The family of the backbone of a [`PMViTConfig`]."""
    return FAMILIES["vit" if config.backbone_config is None else config.backbone_config.model_type]


def is_of_timm(config: Any) -> bool:
    """Whether a [`PMViTConfig`] has a backbone of timm, which has to be installed then."""
    return config.backbone_config is not None and config.backbone_config.model_type == "timm_wrapper"


def prefix_tokens(backbone: Any) -> int:
    """The number of tokens before the patches: class, distillation and register tokens, from a configuration."""
    found = getattr(backbone, "num_prefix_tokens", None)  # of timm
    if found is None:
        found = FAMILIES[backbone.model_type].prefix + getattr(backbone, "num_register_tokens", 0)
    return int(found)


def has_class_token(backbone: Any) -> bool:
    """Whether the first token is a class token, from a configuration."""
    return bool(getattr(backbone, "has_class_token", FAMILIES[backbone.model_type].prefix))


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """The backbone with random weights, without the parts that PM-ViT does not use."""
    family = FAMILIES[config.model_type]
    backbone: PreTrainedModel = AutoModel.from_config(config, **family.arguments)
    for name in family.unused:
        if hasattr(backbone, name):
            setattr(backbone, name, nn.Identity())
    for name, parameter in backbone.named_parameters():
        if name.endswith("mask_token"):  # of the pre-training; processes would wait for its gradient
            parameter.requires_grad_(False)
    return backbone


def norm_of_mean(backbone: nn.Module, family: Family) -> nn.LayerNorm | None:
    """The norm that a classifier applies to the mean of the patches, if the backbone has one."""
    parent, _, name = family.mean_norm.rpartition(".")
    norm = getattr(backbone.get_submodule(parent), name) if name else None
    return norm if isinstance(norm, nn.LayerNorm) else None


def normalized_as_mean(norm: nn.LayerNorm, patches: torch.Tensor) -> torch.Tensor:
    """
    The part of each patch in the norm of their mean: all are centred and scaled as the mean is, so that the mean of the
    results is the norm of the mean.

    Args:
        patches: `(batch, patches, hidden)`.
    """
    exact = patches.float()  # as a norm computes in half precision
    mean = exact.mean(1, keepdim=True)
    variance, centre = torch.var_mean(mean, -1, correction=0, keepdim=True)
    exact = (exact - centre) * (variance + norm.eps).rsqrt()
    return (exact * norm.weight + norm.bias).to(patches.dtype)


def unused_weights(family: Family) -> list[str]:
    """Patterns of weights in checkpoints with such a backbone that a PM-ViT does not have: other heads, and texts."""
    heads = [*family.unused, "pooler", "decoder", "text_model", "text_projection", "visual_projection", "lm_head"]
    return [rf"(^|\.){name}\." for name in heads] + [r"mask_token$", r"^logit_(scale|bias)$"]


def layer_arguments(backbone: Any, grid: tuple[int, int], tokens: torch.Tensor) -> dict[str, Any]:
    """
    What a layer takes beside its tokens.

    Args:
        grid: rows and columns of patches.
        tokens: of any layer, for their type and device.
    """
    kind = backbone.config.model_type
    if kind == "dinov3_vit":
        height, width = (count * side for count, side in zip(grid, pair(backbone.config.patch_size), strict=True))
        return {"position_embeddings": backbone.rope_embeddings(tokens.new_empty(1, 3, height, width))}
    if kind == "beit":
        size = (grid[0] * backbone.config.patch_size, grid[1] * backbone.config.patch_size)
        other = size != pair(backbone.config.image_size)
        bias = backbone.shared_position_bias
        shared = None if bias is None else bias(grid, interpolate_pos_encoding=other, dim_size=tokens.shape[1])
        return {"attention_mask": shared, "interpolate_pos_encoding": other, "resolution": size}
    if kind == "timm_wrapper":
        rope = getattr(backbone.timm_model, "rope", None)
        return {} if rope is None else {"rope": rope.get_embed(shape=grid)}
    return {"attention_mask": None} if kind in ("clip_vision_model", "siglip_vision_model") else {}


def pair(size: Any) -> tuple[int, int]:
    """(height, width) from a size that is one number or two."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


__all__ = [
    "COMPOSITES",
    "FAMILIES",
    "Family",
    "Pooling",
    "as_backbone_config",
    "build_backbone",
    "family_of",
    "has_class_token",
    "is_of_timm",
    "layer_arguments",
    "norm_of_mean",
    "normalized_as_mean",
    "own_pooling",
    "pair",
    "prefix_tokens",
    "refusal",
    "unused_weights",
]
