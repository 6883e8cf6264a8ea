"""Reading Vision Transformers of timm, which is imported only here."""

import re
from pathlib import Path

import torch
from huggingface_hub.errors import EntryNotFoundError
from torch import nn

from .source import Source, as_image_size, check_image_size, numbered_labels, unsupported

_RELATIVES = {
    "Beit": "a relative position bias",
    "Eva": "rotary positions",
    "VisionTransformerDistilled": "a distillation token",
}
_PARAMETERS = {  # of timm's `VisionTransformer` that a plain ViT has not
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
        raise ImportError(f"{name} is no folder of transformers; if it is a timm model, `pip install timm`.") from error
    overlay = None
    if name.startswith("local-dir:"):
        if not Path(name.removeprefix("local-dir:"), "model.safetensors").is_file():  # timm would read a pickle
            raise ValueError(f"{name} holds no model.safetensors, the one file that is read.")
    else:  # the one file to fetch: by default timm falls back on pickles
        overlay = {"hf_hub_filename": "model.safetensors", "url": None, "custom_load": False}
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except EntryNotFoundError as error:
        raise ValueError(f"{name} holds no model.safetensors, the one file that is read.") from error
    except RuntimeError as error:  # unknown name, none of its weights published, or weights of another shape
        raise ValueError(f"{name} is no folder, or timm cannot load it: {' '.join(str(error).split())}") from error


def read_timm(model: nn.Module, image_size) -> Source:
    kind = type(model).__name__
    if not type(model).__module__.startswith("timm."):
        raise ValueError(f"{kind} is a model of neither transformers nor timm.")
    import timm

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
        classifier, no_classifier = None, f"the source's takes {model.global_pool!r} pooled tokens, not the class token"

    def forward(pixel_values):  # a norm that comes after the pooling of the class token is PM-ViT's final norm
        tokens = model.forward_features(pixel_values)
        return model.fc_norm(tokens), model.forward_head(tokens)

    data = timm.data.resolve_model_data_config(model)
    resample = "bilinear" if data["interpolation"] == "random" else data["interpolation"]  # as timm evaluates
    preprocessing = {
        "image_mean": list(data["mean"]),
        "image_std": list(data["std"]),
        "resample": int(timm.data.str_to_pil_interp(resample)),
    }
    return Source(config, size, state_dict, forward, preprocessing, classifier, no_classifier, _names(model, timm))


def _obstacles(model: nn.Module, timm) -> list[str]:
    """What a timm `VisionTransformer` has, or does, that a plain ViT has not."""
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
        "a patch embedding that is no plain convolution": type(model.patch_embed) is not timm.layers.PatchEmbed,
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


def _names(model: nn.Module, timm) -> list[str]:
    names = model.pretrained_cfg.get("label_names")
    if names and len(names) == model.num_classes:
        return list(names)
    # By the number of classes, so only where the weights bear one of timm's tags (such as `augreg_in1k`).
    if model.num_classes and model.pretrained_cfg.get("tag") and (subset := timm.data.infer_imagenet_subset(model)):
        return list(timm.data.ImageNetInfo(subset).label_descriptions())
    return numbered_labels(model.num_classes)
