"""Any plain Vision Transformer as a PM-ViT: checkpoints of transformers (ViT, DINOv2) and of timm.

What a PM-ViT cannot represent exactly is refused, and every conversion is checked against its source.
"""

import copy
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub.errors import EntryNotFoundError
from torch import nn
from transformers import (
    AutoImageProcessor,
    Dinov2ForImageClassification,
    Dinov2Model,
    PreTrainedConfig,
    PreTrainedModel,
    ViTForImageClassification,
    ViTModel,
)

from .configuration_pm_vit import PMViTConfig
from .image_processing_pm_vit import PMViTImageProcessor
from .modeling_pm_vit import PMViTForImageClassification

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4  # float32 rounding of a deep ViT; a wrong conversion is off by about 1

_CLASSES = {"vit": ViTForImageClassification, "dinov2": Dinov2ForImageClassification}
_OBSTACLES = {  # of well-known relatives, by `model_type` or timm class
    "beit": "a relative position bias",
    "clip_vision_model": "a norm before the first block",
    "deit": "a distillation token",
    "dinov2_with_registers": "register tokens",
    "dinov3_vit": "register tokens and rotary positions",
    "pm_vit": "nothing, it is a PM-ViT already",
    "siglip_vision_model": "no class token",
    "swin": "shifted windows and no class token",
    "Beit": "a relative position bias",
    "Eva": "rotary positions",
    "VisionTransformerDistilled": "a distillation token",
}
_TIMM_PARAMETERS = {  # of timm's `VisionTransformer` that a plain ViT has not
    "register tokens": r"\breg_token",
    "attention pooling": r"\battn_pool\.",
    "a norm before the first block": r"\bnorm_pre\.",
    "a norm of the patch embedding": r"\bpatch_embed\.norm\.",
    "norms of queries and keys": r"\.[qk]_norm\.",
    "norms inside attention or MLP": r"\.(attn|mlp)\.norm\.",
    "gated attention": r"\.attn\.gate\.",
}
_PREPROCESSING = ("image_mean", "image_std", "resample", "do_normalize", "do_rescale", "rescale_factor")
_RENAMES = [  # parameter names of DINOv2 and timm -> `ViTModel`
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^(encoder\.layer|blocks)\.", "layers."),
    (r"^(layers\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"^(layers\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"^(layers\.\d+)\.attn\.qkv\.", r"\1.attention.qkv."),
    (r"^(layers\.\d+)\.attn\.proj\.", r"\1.attention.o_proj."),
    (r"^(layers\.\d+)\.(?:ls|layer_scale)([12])\.(?:gamma|lambda1)$", r"\1.scale\2"),
    (r"^(fc_)?norm\.", "layernorm."),
]


class Conversion(NamedTuple):
    """
    Args:
        model: in float32 on the CPU, in evaluation mode.
        image_processor: with the source's normalisation, for images resized as a whole to the model's size.
        max_difference: the largest difference between the model's final tokens (and logits, where the classifier was
            kept) and the source's, on a random image.
        new_classifier: the classifier is freshly initialised and has to be trained.
    """

    model: PMViTForImageClassification
    image_processor: PMViTImageProcessor
    max_difference: float
    new_classifier: bool


def convert(
    source: str | Path | nn.Module,
    labels: Sequence[str] | None = None,
    num_labels: int | None = None,
    image_size: int | tuple[int, int] | None = None,
) -> Conversion:
    """
    Turn a plain Vision Transformer into a PM-ViT with the same features.

    LayerScale (DINOv2, DeiT III) is folded into the layers before it; a position embedding is interpolated once, as
    the source itself interpolates it. The source's classifier is kept if it is linear on the class token and the
    classes asked for are its own; otherwise a fresh one takes its place, with a warning.

    Args:
        source: a folder or Hub id of transformers or timm, a timm model name, or a model of either library (left
            unchanged). Only safetensors files are read.
        labels: names of the classes; by default the source's.
        num_labels: number of classes, where they have no names.
        image_size: height and width in pixels, or one number for both; by default the source's.

    Returns:
        [`Conversion`]: `model`, `image_processor`, `max_difference`, `new_classifier`.

    Raises:
        ValueError: if a plain ViT cannot represent the source exactly (says what is in the way), the weights are not
            safetensors, the classes are unknown or contradictory, the patch size does not divide the image size, or
            the features differ from the source's by more than 1e-4 (of the largest, where that exceeds 1).
        OSError: if there is no such folder or Hub id.
        ImportError: if the source is of timm and timm is not installed.
    """
    model = copy.deepcopy(source) if isinstance(source, nn.Module) else _load(str(source))
    model = model.float().cpu().eval()
    found = (
        _read_transformers(model, image_size) if isinstance(model, PreTrainedModel) else _read_timm(model, image_size)
    )
    if found.config["num_channels"] != 3:
        raise ValueError(f"the source takes {found.config['num_channels']} channels; PM-ViT takes RGB images.")

    names = _class_names(found.names, labels, num_labels)
    keep = found.classifier is not None and found.names in (names, _numbered(len(names)))
    if not keep:
        why = found.no_classifier or f"its {len(found.names)} classes are not the {len(names)} asked for"
        logger.warning("The classifier is freshly initialised, train it before use: %s.", why)
        found.config.pop("problem_type", None)
    height, width = found.image_size
    config = PMViTConfig(
        image_size=height if height == width else (height, width),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        **found.config,
    )
    converted = PMViTForImageClassification(config).eval()
    _fill(converted, found.state_dict, found.classifier if keep else None)
    difference = _compare(converted, found, keep)
    image_processor = PMViTImageProcessor(
        size={"height": height, "width": width},
        crop_size={"height": height, "width": width},
        patch_size=config.patch_size,
        **found.preprocessing,
    )
    return Conversion(converted, image_processor, difference, not keep)


@dataclass
class _Source:
    """A source in the terms of a plain ViT."""

    config: dict  # arguments of `PMViTConfig`, less classes and image size
    image_size: tuple[int, int]
    state_dict: dict[str, torch.Tensor]  # with the names of `ViTModel`, but LayerScale and fused qkv still apart
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # pixel values -> final tokens, logits
    preprocessing: dict
    classifier: nn.Linear | None = None  # on the class token
    no_classifier: str = ""  # why there is none
    names: list[str] = field(default_factory=list)


def _load(source: str) -> nn.Module:
    """The source's own model, its classifier an identity where the checkpoint has none."""
    folder = Path(source)
    if folder.is_file() or folder.suffix in (".bin", ".pth", ".pt", ".ckpt", ".npz", ".pkl"):
        raise ValueError(
            f"{source} is a file: give the folder that holds it and its config.json. Weights are read from safetensors "
            "only, as other formats can run code while they load."
        )
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        raise ValueError(
            f"{source} holds no safetensors file. Other formats can run code while they load and are not read: save "
            "the model as safetensors first."
        )
    if not folder.is_dir() and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise FileNotFoundError(f"there is no folder {source}.")
    if not folder.is_dir() and (source.startswith(("timm/", "hf-hub:", "hf_hub:")) or "/" not in source):
        return _load_timm(f"hf-hub:{source}" if source.startswith("timm/") else source)
    config, _ = PreTrainedConfig.get_config_dict(source)
    if config.get("model_type") == "timm_wrapper":
        return _load_timm(f"local-dir:{source}" if folder.is_dir() else f"hf-hub:{source}")
    _check_transformers(config)
    model, info = _CLASSES[config["model_type"]].from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    missing = {key for key in info["missing_keys"] if not key.startswith("classifier.") and "mask_token" not in key}
    unexpected = {key for key in info["unexpected_keys"] if not re.search(r"pooler|mask_token|decoder", key)}
    _check_keys(missing, unexpected)
    if any(key.startswith("classifier.") for key in info["missing_keys"]):
        model.classifier = nn.Identity()
    return model


def _load_timm(name: str) -> nn.Module:
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


def _check_transformers(config: dict) -> None:
    kind = config.get("model_type")
    if kind not in _CLASSES:
        raise _refusal(f"a {kind!r} model", [_OBSTACLES.get(kind, "another architecture")])
    if config.get("use_swiglu_ffn"):
        raise _refusal("this DINOv2", ["SwiGLU in place of the two-layer MLP"])


def _refusal(what: str, obstacles: list[str]) -> ValueError:
    return ValueError(
        f"{what} cannot become a PM-ViT, which is a plain ViT (class token, learned positions, pre-norm blocks with "
        f"two-layer MLPs). In the way: {'; '.join(obstacles)}."
    )


def _read_transformers(model: PreTrainedModel, image_size) -> _Source:
    _check_transformers(model.config.to_dict())
    backbone, config = model.base_model, model.config
    if not isinstance(backbone, (ViTModel, Dinov2Model)):
        raise ValueError(f"{type(model).__name__} is not a ViTModel, a Dinov2Model, or a classifier on one of these.")
    is_dinov2 = isinstance(backbone, Dinov2Model)
    embeddings = backbone.embeddings
    patch = _one_or_two(embeddings.patch_embeddings.patch_size)
    own_size = tuple(embeddings.patch_embeddings.image_size)
    height, width = size = _image_size(image_size, own_size, patch)
    state_dict = backbone.state_dict()
    if size != own_size:
        if own_size[0] != own_size[1] or not isinstance(patch, int):
            raise ValueError(
                f"transformers interpolates position embeddings only from square images with square patches: keep the "
                f"source's image size {own_size} (patch size {patch})."
            )
        embeddings.patch_size = patch  # upstream's ViT divides by it
        tokens = torch.empty(1, 1 + (height // patch) * (width // patch), config.hidden_size)
        state_dict["embeddings.position_embeddings"] = embeddings.interpolate_pos_encoding(tokens, height, width)
    resized = {} if is_dinov2 else {"interpolate_pos_encoding": size != own_size}

    classifier = getattr(model, "classifier", None)
    classifier = classifier if isinstance(classifier, nn.Linear) else None
    no_classifier, names = "the source has none", []
    if classifier is not None:
        names = [config.id2label[i] for i in range(classifier.out_features)]
        if is_dinov2:
            no_classifier = (
                "the source's takes the class token and the mean of the patches, PM-ViT's one token at a time"
            )
            classifier = None

    def forward(pixel_values):
        tokens = backbone(pixel_values, **resized).last_hidden_state
        return tokens, classifier and model(pixel_values, **resized).logits

    shared = "hidden_size num_hidden_layers num_attention_heads hidden_act layer_norm_eps qkv_bias num_channels "
    shared += "hidden_dropout_prob attention_probs_dropout_prob initializer_range problem_type"
    arguments = {name: getattr(config, name) for name in shared.split()} | {"patch_size": patch}
    arguments["intermediate_size"] = (
        int(config.hidden_size * config.mlp_ratio) if is_dinov2 else config.intermediate_size
    )
    return _Source(
        arguments, size, state_dict, forward, _preprocessing(config._name_or_path), classifier, no_classifier, names
    )


def _preprocessing(source: str) -> dict:
    try:
        if not source:
            raise OSError("a model built in memory has no processor beside it")
        processor = AutoImageProcessor.from_pretrained(source)
    except (OSError, ValueError):
        logger.warning("No preprocessor_config.json: ImageNet's mean and standard deviation are assumed.")
        return {}
    return {name: getattr(processor, name) for name in _PREPROCESSING if getattr(processor, name, None) is not None}


def _read_timm(model: nn.Module, image_size) -> _Source:
    kind = type(model).__name__
    if not type(model).__module__.startswith("timm."):
        raise ValueError(f"{kind} is a model of neither transformers nor timm.")
    import timm

    if type(model) is not timm.models.VisionTransformer:
        raise _refusal(f"timm's {kind}", [_OBSTACLES.get(kind, "another architecture")])
    if obstacles := _timm_obstacles(model, timm):
        raise _refusal("this timm model", obstacles)
    patch = _one_or_two(model.patch_embed.patch_size)
    own_size = tuple(model.patch_embed.img_size)
    size = _image_size(image_size, own_size, patch)
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
    return _Source(
        config, size, state_dict, forward, preprocessing, classifier, no_classifier, _timm_names(model, timm)
    )


def _timm_obstacles(model: nn.Module, timm) -> list[str]:
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
    obstacles = {what: re.search(pattern, keys) for what, pattern in _TIMM_PARAMETERS.items()} | {
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


def _timm_names(model: nn.Module, timm) -> list[str]:
    names = model.pretrained_cfg.get("label_names")
    if names and len(names) == model.num_classes:
        return list(names)
    # By the number of classes, so only where the weights bear one of timm's tags (such as `augreg_in1k`).
    if model.num_classes and model.pretrained_cfg.get("tag") and (subset := timm.data.infer_imagenet_subset(model)):
        return list(timm.data.ImageNetInfo(subset).label_descriptions())
    return _numbered(model.num_classes)


def _numbered(count: int) -> list[str]:
    return [f"LABEL_{i}" for i in range(count)]


def _class_names(own: list[str], labels: Sequence[str] | None, num_labels: int | None) -> list[str]:
    if labels is not None:
        labels = list(labels)
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"labels must be at least one name, each once, got {labels}.")
        if num_labels not in (None, len(labels)):
            raise ValueError(f"num_labels is {num_labels}, but {len(labels)} labels were given.")
        return labels
    if num_labels is None:
        if not own:
            raise ValueError("the source has no classes of its own: give labels or num_labels.")
        return own
    if num_labels < 1:
        raise ValueError(f"num_labels must be at least 1, got {num_labels}.")
    return own if num_labels == len(own) else _numbered(num_labels)


def _one_or_two(size) -> int | tuple[int, int]:
    """A size in pixels as one number if it is square."""
    height, width = size
    return height if height == width else (height, width)


def _image_size(requested, own: tuple[int, int], patch) -> tuple[int, int]:
    height, width = (requested, requested) if isinstance(requested, int) else tuple(requested or own)
    patch_height, patch_width = (patch, patch) if isinstance(patch, int) else patch
    if min(height, width) < 1 or height % patch_height or width % patch_width:
        raise ValueError(
            f"the patch size {patch} must divide the image size, got {height} x {width}: give another image_size."
        )
    return height, width


def _fill(model: PMViTForImageClassification, state_dict: dict, classifier: nn.Linear | None) -> None:
    """Load a source's weights into the model, strictly; LayerScale folded in, qkv split, missing biases zero."""
    state = {}
    for name, value in state_dict.items():
        if re.search(r"mask_token|^pooler\.", name):
            continue
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".qkv." in name:
            state |= {name.replace("qkv", f"{x}_proj"): part for x, part in zip("qkv", value.chunk(3), strict=True)}
        else:
            state[name] = value
    expected = model.vit.state_dict()
    for name, value in expected.items():
        if name not in state and re.search(r"(projection|o_proj|fc1|fc2)\.bias$", name):
            state[name] = torch.zeros_like(value)
    for name in [name for name in state if re.search(r"\.scale[12]$", name)]:
        scale, layer = state.pop(name), name.rpartition(".")[0]
        linear = layer + (".attention.o_proj" if name.endswith("1") else ".mlp.fc2")
        state[f"{linear}.weight"] = state[f"{linear}.weight"] * scale.unsqueeze(1)
        state[f"{linear}.bias"] = state[f"{linear}.bias"] * scale
    alien = {name for name, value in state.items() if name not in expected or value.shape != expected[name].shape}
    _check_keys(expected.keys() - state.keys(), alien)
    model.vit.load_state_dict(state)
    if classifier is not None:
        model.classifier.load_state_dict(classifier.state_dict())


def _check_keys(missing: set[str], unexpected: set[str]) -> None:
    if missing or unexpected:
        raise ValueError(
            f"the weights are not those of a plain ViT: missing {sorted(missing)[:3]}, unexpected "
            f"{sorted(unexpected)[:3]} ({len(missing)} and {len(unexpected)} in all)."
        )


@torch.no_grad()
def _compare(model: PMViTForImageClassification, found: _Source, logits_too: bool) -> float:
    pixel_values = torch.randn(1, 3, *found.image_size, generator=torch.Generator().manual_seed(0))
    tokens, logits = found.forward(pixel_values)
    pairs = [(model.vit(pixel_values).last_hidden_state, tokens)]
    if logits_too:
        pairs.append((model(pixel_values).logits, logits))
    difference = max((ours - theirs).abs().max().item() for ours, theirs in pairs)
    scale = max(1.0, *(theirs.abs().max().item() for _, theirs in pairs))
    if not difference <= TOLERANCE * scale:
        raise ValueError(f"the conversion is wrong: features differ from the source's by up to {difference:.2g}.")
    return difference
