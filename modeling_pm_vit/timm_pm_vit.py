"""What the configuration of a timm model does not tell about it. Nothing else here needs timm."""

from typing import Any

import torch
from torch import nn

_FACTS = ("image_size", "patch_size", "num_prefix_tokens", "has_class_token", "pooling", "hidden_size")
_POOLING = {"token": "cls", "avg": "mean"}
_NEAREST = "The nearest that works is"


def describe_timm(config: Any) -> None:
    """
    Add to a [`TimmWrapperConfig`] what PM-ViT has to know of its model, found from a model without weights. A
    configuration that has it already, such as that of a saved PM-ViT, is not changed, and timm is not needed.

    Raises:
        ValueError: if timm is not installed, or the model has no token of each patch or no logit of one.
    """
    if all(hasattr(config, name) for name in _FACTS):
        return
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"the backbone {config.architecture} is of timm: pip install timm") from error
    arguments = {"dynamic_img_size": True} | (config.model_args or {})
    try:
        with torch.device("meta"):
            model: Any = timm.create_model(config.architecture, pretrained=False, num_classes=0, **arguments)
    except (TypeError, RuntimeError) as error:  # of an architecture without this argument; of an unknown one
        model = None
        if "Unknown model" in str(error):
            raise ValueError(f"this timm has no architecture {config.architecture!r}.") from error
    if reason := timm_refusal(model):
        raise ValueError(f"timm's {config.architecture} cannot be a backbone: {reason}")
    config.model_args, config.do_pooling = arguments, False
    config.image_size = _one_or_two(model.patch_embed.img_size)
    config.patch_size = _one_or_two(model.patch_embed.patch_size)
    config.num_channels = model.patch_embed.proj.in_channels
    config.num_prefix_tokens = model.num_prefix_tokens
    config.has_class_token = model.cls_token is not None
    config.pooling = _POOLING[model.global_pool]
    config.hidden_size = model.embed_dim
    config.num_hidden_layers = len(model.blocks)
    config.num_attention_heads = model.blocks[0].attn.num_heads


def timm_refusal(model: Any) -> str | None:
    """Why a timm model cannot be a backbone, and the nearest one that can; `None` if it can. `None`: no such ViT."""
    kind = type(model).__name__
    if kind == "VisionTransformerDistilled":
        return (
            "it averages the heads of the class and the distillation token. "
            f"{_NEAREST} a DeiT without distillation, such as deit_small_patch16_224."
        )
    if kind not in ("VisionTransformer", "Eva"):
        return (
            "it is not a ViT with one token per patch of a fixed grid (timm's VisionTransformer or Eva). "
            f"{_NEAREST} one of these of its size, such as vit_small_patch16_224."
        )
    if model.global_pool not in _POOLING:
        return (
            f"it pools by {model.global_pool!r}, where a patch has no logit. "
            f"{_NEAREST} a model with global_pool 'token' or 'avg', such as vit_base_patch16_siglip_gap_224."
        )
    if model.global_pool == "avg" and getattr(model, "pool_include_prefix", False):
        return (
            "it averages the prefix tokens too. "
            f"{_NEAREST} a model that averages the patches alone, such as vit_base_patch16_siglip_gap_224."
        )
    norm = model.fc_norm
    exact = model.global_pool == "avg" and isinstance(norm, nn.LayerNorm) and norm.elementwise_affine
    if not (exact or isinstance(norm, nn.Identity)):
        return (
            f"its classifier reads {'the mean' if model.global_pool == 'avg' else 'the class token'} through a "
            f"{type(norm).__name__} (fc_norm). {_NEAREST} a model with its norm before the pooling, such as "
            "vit_base_patch16_siglip_gap_224."
        )
    return None


def _one_or_two(size: tuple[int, int]) -> int | list[int]:
    """(height, width) as JSON has it in the configurations of transformers: one number if they are equal."""
    height, width = size
    return height if height == width else [height, width]


__all__ = ["describe_timm", "timm_refusal"]
