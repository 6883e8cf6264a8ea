"""The conversion: read the source, fill the model, compare the features."""

import copy
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from ..backbone_pm_vit import Pooling, pair
from ..configuration_pm_vit import PMViTConfig
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from ..utils.hub import asking_once, require_path
from .backbones import convert_timm, convert_transformers, has_classifier, keeps_backbone
from .checkpoints import checkpoint_names, not_found
from .from_timm import is_plain, load_timm, read_timm, timm_names, timm_preprocessing
from .from_transformers import load_transformers, read_transformers
from .source import Source, check_image_size, check_keys, numbered_labels

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4  # float32 rounding of a deep ViT; a wrong conversion is off by about 1

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
        image_processor: with the normalisation of the source; resizes the whole image to the size of the model.
        max_difference: largest difference between the final tokens (and logits, if the classifier was kept) of the
            model and of the source, on a random image.
        new_classifier: whether the classifier is newly initialised and has to be trained.
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
    seed: int = 0,
    pooling: Pooling | None = None,
) -> Conversion:
    """
    Convert a plain Vision Transformer to a PM-ViT with the same features.

    What a plain ViT is equal to becomes one: LayerScale (DINOv2, DeiT III) is folded into the layers before it, the
    position embedding is interpolated once, in the same way as in the source. Of other families the backbone is kept
    (`backbone_config`), as of a DINOv2 whose classifier is kept; positions are interpolated in every pass, where the
    image size is not the source's. The classifier of the source is kept if it is linear and has the requested classes.
    Otherwise it is replaced by a newly initialised one, with a warning.

    Args:
        source: a folder or Hub id of transformers or timm, a timm model name, or a model of either library (not
            modified). Only safetensors files are read.
        labels: names of the classes; by default those of the source.
        num_labels: number of classes, if they have no names.
        image_size: height and width in pixels, or one number for both; by default that of the source.
        seed: of a new classifier.
        pooling: what a new classifier reads; by default what those of the source's family read.

    Returns:
        [`Conversion`]: `model`, `image_processor`, `max_difference`, `new_classifier`.

    Raises:
        InputError: if a plain ViT cannot represent the source exactly (the message says why), the weights are not
            safetensors, the classes are unknown or contradictory, the patch size does not divide the image size, or
            the classifier is kept and reads something else than `pooling`.
        ValueError: if the features differ from those of the source by more than 1e-4 (relative to the largest, if that
            exceeds 1).
        OSError: if the folder or Hub id does not exist.
        MissingExtraError: if the source is a timm model and timm is not installed.
    """
    kept = _with_kept_backbone(source, labels, num_labels, image_size, seed, pooling)
    if kept is not None:
        return kept
    model = copy.deepcopy(source) if isinstance(source, nn.Module) else _load(str(source))
    model = model.float().cpu().eval()
    found = read_transformers(model, image_size) if isinstance(model, PreTrainedModel) else read_timm(model, image_size)
    if found.config["num_channels"] != 3:
        raise InputError(f"the source takes {found.config['num_channels']} channels; PM-ViT takes RGB images.")

    names = _class_names(found.names, labels, num_labels)
    keep = found.classifier is not None and found.names in (names, numbered_labels(len(names)))
    if not keep:
        why = found.no_classifier or f"its {len(found.names)} classes are not the {len(names)} requested classes"
        logger.warning("The classifier is newly initialised: train it before use. Reason: %s.", why)
        found.config.pop("problem_type", None)
    _check_pooling(pooling, "cls", keep)
    height, width = found.image_size
    config = PMViTConfig(
        image_size=height if height == width else (height, width),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        pooling=pooling,
        **found.config,
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
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


def _with_kept_backbone(
    source: str | Path | nn.Module,
    labels: Sequence[str] | None,
    num_labels: int | None,
    image_size: int | tuple[int, int] | None,
    seed: int,
    pooling: Pooling | None,
) -> Conversion | None:
    """The conversion of a source that keeps its backbone; `None` for one that becomes a plain ViT."""
    timm_model: Any = None
    if isinstance(source, PreTrainedModel):
        config = source.config.to_dict() | {"architectures": [type(source).__name__]}
    elif isinstance(source, nn.Module):
        return None  # of timm, without the arguments that made it
    else:
        source = str(source)
        _check_source(source)
        timm_name = _timm_name(source)
        if timm_name is not None:
            timm_model = load_timm(timm_name).float().cpu().eval()
            if is_plain(timm_model):
                return None
        else:
            config = _config(source)
    if timm_model is not None:
        own = timm_names(timm_model)
    elif not keeps_backbone(config, same_classes=True):
        return None
    else:
        own = checkpoint_names(config) if has_classifier(config) else []
    names = _class_names(own, labels, num_labels)
    keep = bool(own) and own in (names, numbered_labels(len(names)))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        asked = None if keep else pooling
        if timm_model is not None:
            model, difference = convert_timm(str(source), timm_model, names, keep, asked)
            preprocessing = timm_preprocessing(timm_model)
        elif keeps_backbone(config, keep):
            model, preprocessing, difference = convert_transformers(source, names, keep, asked)
        else:
            return None
    if not keep:
        logger.warning("The classifier is newly initialised: train it before use.")
    _check_pooling(pooling, str(model.config.pooling), keep)
    if not difference <= TOLERANCE:
        raise _wrong(difference)
    patch = pair(model.config.patch_size)
    height, width = check_image_size(image_size, pair(model.config.image_size), patch)
    size = {"height": height, "width": width}
    patch_size = model.config.patch_size
    processor = PMViTImageProcessor(size=size, crop_size=size, patch_size=patch_size, **preprocessing)
    return Conversion(model, processor, difference, not keep)


def _check_pooling(pooling: Pooling | None, own: str, keep: bool) -> None:
    if keep and pooling not in (None, own):
        raise InputError(
            f"the classifier of the source reads {own!r}, not {pooling!r}: leave --pooling out to keep it, or name "
            "other classes for a new one."
        )


def _check_source(source: str) -> None:
    folder = Path(source)
    if folder.is_file() or folder.suffix in (".bin", ".pth", ".pt", ".ckpt", ".npz", ".pkl"):
        raise InputError(
            f"{source} is a file: give the folder that contains it and its config.json. Weights are read from "
            "safetensors only, because other formats can run code when they are loaded."
        )
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{source} contains no safetensors file. Other formats are not read, because they can run code when they "
            "are loaded: save the model as safetensors first."
        )


def _timm_name(source: str) -> str | None:
    """How timm calls the source; `None` if it is one of transformers."""
    folder = Path(source)
    is_id = source.startswith(("timm/", "hf-hub:", "hf_hub:"))
    is_folder = folder.is_dir() if is_id else require_path(source, "folder")
    if not is_folder and (is_id or "/" not in source):
        return f"hf-hub:{source}" if source.startswith("timm/") else source
    if _config(source).get("model_type") != "timm_wrapper":
        return None
    return f"local-dir:{source}" if is_folder else f"hf-hub:{source}"


def _config(source: str) -> dict[str, Any]:
    try:
        with asking_once(source):
            return dict(PreTrainedConfig.get_config_dict(source)[0])
    except OSError as error:
        raise not_found(source, error) from error


def _load(source: str) -> nn.Module:
    """The model of the source, of transformers or timm."""
    _check_source(source)
    with asking_once(source):
        name = _timm_name(source)
        return load_transformers(source, _config(source)) if name is None else load_timm(name)


def _class_names(own: list[str], labels: Sequence[str] | None, num_labels: int | None) -> list[str]:
    if labels is not None:
        labels = list(labels)
        if not labels or len(set(labels)) != len(labels):
            raise InputError(f"labels must be one or more different names, got {labels}.")
        if num_labels not in (None, len(labels)):
            raise InputError(f"num_labels is {num_labels}, but {len(labels)} labels were given.")
        return labels
    if num_labels is None:
        if not own:
            raise InputError("the source has no classes: give labels or num_labels.")
        return own
    if num_labels < 1:
        raise InputError(f"num_labels must be at least 1, got {num_labels}.")
    return own if num_labels == len(own) else numbered_labels(num_labels)


def _fill(
    model: PMViTForImageClassification, state_dict: dict[str, torch.Tensor], classifier: nn.Linear | None
) -> None:
    """Load all weights of a source into the model: LayerScale is folded in, qkv split, missing biases are zero."""
    state: dict[str, torch.Tensor] = {}
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
    check_keys(expected.keys() - state.keys(), alien)
    model.vit.load_state_dict(state)
    if classifier is not None:
        model.classifier.load_state_dict(classifier.state_dict())


@torch.no_grad()
def _compare(model: PMViTForImageClassification, found: Source, logits_too: bool) -> float:
    pixel_values = torch.randn(1, 3, *found.image_size, generator=torch.Generator().manual_seed(0))
    tokens, logits = found.forward(pixel_values)
    pairs = [(model.vit(pixel_values).last_hidden_state, tokens)]
    if logits_too:
        pairs.append((model(pixel_values).logits, logits))
    difference: float = max((ours - theirs).abs().max().item() for ours, theirs in pairs)
    scale = max(1.0, *(theirs.abs().max().item() for _, theirs in pairs))
    if not difference <= TOLERANCE * scale:
        raise _wrong(difference)
    return difference


def _wrong(difference: float) -> ValueError:
    return ValueError(f"the conversion is wrong: features differ from those of the source by up to {difference:.2g}.")
