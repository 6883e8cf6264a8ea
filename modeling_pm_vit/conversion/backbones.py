"""Sources whose backbone a PM-ViT keeps as it is (`backbone_config`): those that a plain ViT is not equal to."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PreTrainedModel

from ..backbone_pm_vit import COMPOSITES, FAMILIES, Pooling, pair
from ..configuration_pm_vit import PMViTConfig
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from .checkpoints import load_model
from .source import check_keys

_PREPROCESSING = ("image_mean", "image_std", "resample", "do_normalize", "do_rescale", "rescale_factor")


def has_classifier(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint of transformers is one of a classifier, from its `config.json`."""
    return any("ForImageClassification" in name for name in config.get("architectures") or ())


def keeps_backbone(config: Mapping[str, Any], same_classes: bool) -> bool:
    """
    Whether the backbone of a model of transformers is kept.

    Args:
        config: as in `config.json`.
        same_classes: whether its classes are; the classifier of DINOv2 is not one of a plain ViT, its features are.
    """
    kind = config.get("model_type")
    if kind == "dinov2":
        return bool(config.get("use_swiglu_ffn")) or (same_classes and has_classifier(config))
    return kind in COMPOSITES or (kind in FAMILIES and kind not in ("vit", "timm_wrapper"))


@torch.no_grad()
def convert_transformers(
    source: str | PreTrainedModel, names: list[str], keep: bool, pooling: Pooling | None = None
) -> tuple[PMViTForImageClassification, dict[str, Any], float]:
    """
    The PM-ViT on the backbone of a model of transformers, settings of its image processor, and the largest difference
    from the final tokens of the source, or from its logits, on a random image.

    Args:
        names: of the classes.
        keep: its classifier, which is new otherwise.
        pooling: what a new classifier reads; by default what those of the family read.

    Raises:
        InputError: if the backbone has no class token for this pooling.
    """
    if isinstance(source, PreTrainedModel):
        with tempfile.TemporaryDirectory(prefix="pm-vit-source-") as folder:
            source.save_pretrained(folder)
            return convert_transformers(folder, names, keep, pooling)
    labels: dict[str, Any] = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }
    try:
        config = PMViTConfig.from_dict(PMViTConfig.get_config_dict(source)[0] | labels | {"pooling": pooling})
    except ValueError as error:
        raise InputError(str(error)) from error
    model = load_model(source, uses_classifier=keep, dtype=torch.float32, config=config).eval()
    settings, _ = PMViTImageProcessor.get_image_processor_dict(source)
    automatic = AutoModelForImageClassification if keep else AutoModel
    stock: Any = automatic.from_pretrained(source, dtype=torch.float32).eval()
    if not keep:
        stock = getattr(stock, model.family.attribute, stock)
    difference = _difference(model, stock, keep)
    return model, {name: settings[name] for name in _PREPROCESSING if settings.get(name) is not None}, difference


@torch.no_grad()
def convert_timm(
    source: str, timm_model: Any, names: list[str], keep: bool, pooling: Pooling | None = None
) -> tuple[PMViTForImageClassification, float]:
    """
    As [`convert_transformers`], of a model of timm, without the image processor.

    Args:
        source: the folder, Hub id or name of the model, which tell with which arguments it was made.
        timm_model: made of it.

    Raises:
        InputError: if PM-ViT cannot explain the model; the message names the nearest that it can.
    """
    try:
        if Path(source).is_dir() or "/" in source:
            backbone: Any = AutoConfig.from_pretrained(source.removeprefix("hf-hub:").removeprefix("hf_hub:"))
        else:
            backbone = AutoConfig.for_model("timm_wrapper", architecture=source.partition(".")[0])
        config = PMViTConfig(
            backbone_config=backbone,
            pooling=pooling,
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    model: Any = PMViTForImageClassification(config).eval()
    missing, unexpected = model.base_model.timm_model.load_state_dict(timm_model.state_dict(), strict=False)
    check_keys(set(missing), {key for key in unexpected if not key.startswith("head.")})
    if keep:
        model.classifier.load_state_dict(timm_model.head.state_dict())
    return model, _difference(model, timm_model if keep else timm_model.forward_features, keep)


def _difference(model: PMViTForImageClassification, stock: Callable[..., Any], logits: bool) -> float:
    height, width = pair(model.config.image_size)
    channels = int(model.config.num_channels)
    pixel_values = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    expected = stock(pixel_values)
    if not isinstance(expected, torch.Tensor):
        expected = expected.logits if logits else expected.last_hidden_state
    found = model(pixel_values).logits if logits else model.run_backbone(pixel_values).last_hidden_state
    return float((found - expected).abs().max() / max(1.0, float(expected.abs().max())))


__all__ = ["convert_timm", "convert_transformers", "has_classifier", "keeps_backbone"]
