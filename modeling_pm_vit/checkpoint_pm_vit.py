"""What a checkpoint has to contain, and what is assumed where it does not say how images are prepared."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
    PILImageResampling,
)
from transformers.utils import is_peft_available

from .backbone_pm_vit import COMPOSITES

logger = logging.getLogger(__name__)

# By the `model_type` of the model or its backbone: mean, standard deviation and interpolation.
_IMAGENET_BICUBIC = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling.BICUBIC)
_PREPROCESSING = {
    "vit": (IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling.BILINEAR),  # of `ViTImageProcessor`
    "pm_vit": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling.BILINEAR),
    "dinov2": _IMAGENET_BICUBIC,  # of facebook/dinov2-*
    "dinov2_with_registers": _IMAGENET_BICUBIC,
    "deit": _IMAGENET_BICUBIC,  # of `DeiTImageProcessor`
    "clip_vision_model": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, PILImageResampling.BICUBIC),  # of `CLIPImageProcessor`
    "siglip_vision_model": (IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling.BICUBIC),
}


def check_weights(name: str, info: Mapping[str, Any], new_classifier: bool) -> None:
    """
    Args:
        name: of the checkpoint, for the message.
        info: what `from_pretrained(..., output_loading_info=True)` returned.
        new_classifier: whether the classifier may be newly initialised.

    Raises:
        ValueError: if weights of the model are missing in the checkpoint or have another shape there, or it has others;
            names some of them.
    """
    found = {
        "missing": set(info["missing_keys"]),
        "unexpected": set(info["unexpected_keys"]),
        "of another shape": {key for key, *_ in info["mismatched_keys"]},
    }
    new = {key for key in found["missing"] | found["of another shape"] if key.startswith("classifier.")}
    if new_classifier:
        found = {what: keys - new for what, keys in found.items()}
    listed = [f"{len(keys)} {what} ({', '.join(sorted(keys)[:3])})" for what, keys in found.items() if keys]
    if listed:
        raise ValueError(
            f"the weights of {name} do not fit its configuration: {', '.join(listed)}."
            + (" To train a new classifier, name its classes (id2label), or use `pm-vit train --model`." if new else "")
        )


def adapter_base(name: Any) -> str | None:
    """
    The base model of a folder that holds an adapter (peft) with the configuration of the whole model, but not its
    weights, as `pm-vit train --lora_rank` writes it; `None` for everything else.

    Raises:
        ValueError: if peft, without which the base model would be loaded alone, is not installed.
    """
    folder = Path(str(name))
    if not all((folder / file).is_file() for file in ("adapter_config.json", "config.json")):
        return None
    if any(folder.glob("model*.safetensors")):
        return None
    if not is_peft_available():
        raise ValueError(f"{name} is an adapter, which needs peft: pip install peft")
    return str(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"])


def assumed_settings(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """
    The image processor of a model that has none, with a warning: the size and patch size of its configuration, and the
    mean, standard deviation and interpolation of its kind of model.

    Args:
        name: of the model, for the warning.
        config: its configuration, as in `config.json`.

    Returns:
        Arguments of [`PMViTImageProcessor`].
    """
    kind = config.get("model_type", "")
    if kind in COMPOSITES:
        kind, config = f"{kind}_vision_model", config.get("vision_config") or {}
    elif config.get("backbone_config"):
        kind = config["backbone_config"].get("model_type", kind)
    mean, std, resample = _PREPROCESSING.get(kind, _PREPROCESSING["pm_vit"])
    size = config.get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    logger.warning(
        "%s has no preprocessor_config.json. Assumed, as for other models of the type %r: %d x %d pixels, mean %s, "
        "standard deviation %s, %s interpolation. If it was trained with others, save its image processor beside it.",
        name,
        kind,
        height,
        width,
        mean,
        std,
        resample.name.lower(),
    )
    return {
        "size": {"height": height, "width": width},
        "crop_size": {"height": height, "width": width},
        "patch_size": config.get("patch_size", 16),
        "image_mean": mean,
        "image_std": std,
        "resample": int(resample),
    }


__all__ = ["adapter_base", "assumed_settings", "check_weights"]
