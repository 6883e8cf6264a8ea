"""Read Vision Transformers of timm. Only this file imports timm, most of which has no types."""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import EntryNotFoundError
from torch import nn

from ..utils.errors import InputError, MissingExtraError
from .source import Source, as_image_size, check_image_size, numbered_labels, unsupported

_RELATIVES = {
    "Beit": "a relative position bias",
    "Eva": "rotary positions",
    "VisionTransformerDistilled": "a distillation token",
}
_PARAMETERS = {  # of timm's `VisionTransformer`, not present in a plain ViT
    "register tokens": r"\breg_token",
    "attention pooling": r"\battn_pool\.",
    "a norm before the first block": r"\bnorm_pre\.",
    "a norm of the patch embedding": r"\bpatch_embed\.norm\.",
    "norms of queries and keys": r"\.[qk]_norm\.",
    "norms inside attention or MLP": r"\.(attn|mlp)\.norm\.",
    "gated attention": r"\.attn\.gate\.",
}


def load_timm(name: str) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is not a folder; if it is a timm model, timm is needed: pip install timm"
        ) from error
    overlay = None
    if name.startswith("local-dir:"):
        if not Path(
            name.removeprefix("local-dir:"), "model.safetensors"
        ).is_file():  # without it timm would load a pickle
            raise InputError(f"{name} has no model.safetensors, the only file that is read.")
    else:  # the only file to download: by default timm falls back to pickles
        overlay = {"hf_hub_filename": "model.safetensors", "url": None, "custom_load": False}
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except EntryNotFoundError as error:
        raise InputError(f"{name} has no model.safetensors, the only file that is read.") from error
    except RuntimeError as error:  # unknown name, no published weights, or weights of another shape
        raise InputError(f"{name} is not a folder, and timm cannot load it: {' '.join(str(error).split())}") from error


def read_timm(model: Any, image_size: int | Sequence[int] | None) -> Source:
    kind = type(model).__name__
    if not type(model).__module__.startswith("timm."):
        raise InputError(f"{kind} is a model of neither transformers nor timm.")
    timm: Any = import_module("timm")
    if type(model) is not timm.models.VisionTransformer:
        raise unsupported(f"timm's {kind}", [_RELATIVES.get(kind, "another architecture")])
    if obstacles := _obstacles(model, timm):
        raise unsupported("this timm model", obstacles)
    patch = as_image_size(model.patch_embed.patch_size)
    own_size = tuple(model.patch_embed.img_size)
    size = check_image_size(image_size, own_size, patch)
    if size != own_size:
        model.set_input_size(img_size=size)

    first = model.blocks[0]
    config = {
        "hidden_size": model.embed_dim,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": first.attn.num_heads,
        "intermediate_size": first.mlp.fc1.out_features,
        "hidden_act": _activation(first.mlp.act),
        "layer_norm_eps": first.norm1.eps,
        "qkv_bias": first.attn.qkv.bias is not None,
        "patch_size": patch,
        "num_channels": model.patch_embed.proj.in_channels,
    }
    state_dict = {key: value for key, value in model.state_dict().items() if not key.startswith("head.")}
    if model.no_embed_class:
        positions = state_dict["pos_embed"]
        state_dict["pos_embed"] = torch.cat((torch.zeros_like(positions[:, :1]), positions), dim=1)

    classifier, no_classifier = model.head, ""
    if not isinstance(classifier, nn.Linear):
        classifier, no_classifier = None, "the source has none"
    elif model.global_pool != "token":
        classifier, no_classifier = (
            None,
            f"that of the source takes {model.global_pool!r} pooled tokens, not the class token",
        )

    def forward(pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # A norm after the pooling of the class token is the final norm of PM-ViT.
        tokens = model.forward_features(pixel_values)
        return model.fc_norm(tokens), model.forward_head(tokens)

    preprocessing = timm_preprocessing(model)
    return Source(config, size, state_dict, forward, preprocessing, classifier, no_classifier, timm_names(model))


def is_plain(model: Any) -> bool:
    """Whether a plain ViT is equal to a timm model, and to its classifier."""
    timm: Any = import_module("timm")
    plain = type(model) is timm.models.VisionTransformer and not _obstacles(model, timm)
    return plain and (model.global_pool == "token" or not isinstance(model.head, nn.Linear))


def timm_preprocessing(model: Any) -> dict[str, Any]:
    """Settings of an image processor, as timm evaluates the model."""
    timm: Any = import_module("timm")
    data = timm.data.resolve_model_data_config(model)
    resample = "bilinear" if data["interpolation"] == "random" else data["interpolation"]
    return {
        "image_mean": list(data["mean"]),
        "image_std": list(data["std"]),
        "resample": int(timm.data.str_to_pil_interp(resample)),
    }


def _obstacles(model: Any, timm: Any) -> list[str]:
    """The parts of a timm `VisionTransformer` that a plain ViT does not have."""
    vision_transformer, first = timm.models.vision_transformer, model.blocks[0]
    for part, types, plain in (
        ("", vision_transformer.Block, "pre-norm blocks"),
        ("attn", timm.layers.Attention, "plain attention"),
        ("mlp", timm.layers.Mlp, "the two-layer MLP"),
    ):
        if any(type(block.get_submodule(part)) is not types for block in model.blocks):
            return [f"{type(first.get_submodule(part)).__name__} in place of {plain}"]
    final_norm = model.fc_norm if isinstance(model.norm, nn.Identity) else model.norm
    norms = [final_norm] + [norm for block in model.blocks for norm in (block.norm1, block.norm2)]
    layer_norms = all(isinstance(norm, nn.LayerNorm) and norm.elementwise_affine for norm in norms)
    keys = " ".join(model.state_dict())
    obstacles = {what: re.search(pattern, keys) for what, pattern in _PARAMETERS.items()} | {
        "no class token": model.cls_token is None,
        "no learned position embedding": model.pos_embed is None,
        "a patch embedding that is not a plain convolution": type(model.patch_embed) is not timm.layers.PatchEmbed,
        "images padded to the patch size": getattr(model.patch_embed, "dynamic_img_pad", False),
        "a final norm after average pooling": isinstance(model.norm, nn.Identity) and model.global_pool != "token",
        "norms that are not LayerNorm with one eps": not layer_norms or len({norm.eps for norm in norms}) != 1,
        f"the activation {type(first.mlp.act).__name__}": _activation(first.mlp.act) is None,
    }
    return [what for what, there in obstacles.items() if there]


def _activation(module: nn.Module) -> str | None:
    """The name in transformers of a timm activation; None if there is none."""
    if getattr(module, "approximate", "none") == "tanh":
        return "gelu_pytorch_tanh"
    names = {"GELU": "gelu", "GELUTanh": "gelu_pytorch_tanh", "QuickGELU": "quick_gelu", "SiLU": "silu", "ReLU": "relu"}
    return names.get(type(module).__name__)


def timm_names(model: Any) -> list[str]:
    """The classes of a timm model, in their order; empty if it has no classifier."""
    timm: Any = import_module("timm")
    names = model.pretrained_cfg.get("label_names")
    if names and len(names) == model.num_classes:
        return list(names)
    # timm infers the names from the number of classes: only for weights with a tag of timm (such as `augreg_in1k`).
    if model.num_classes and model.pretrained_cfg.get("tag") and (subset := timm.data.infer_imagenet_subset(model)):
        return list(timm.data.ImageNetInfo(subset).label_descriptions())
    return numbered_labels(model.num_classes)
