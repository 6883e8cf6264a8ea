"""Read ViT and DINOv2 checkpoints of transformers."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoImageProcessor,
    Dinov2ForImageClassification,
    Dinov2Model,
    PreTrainedModel,
    ViTForImageClassification,
    ViTModel,
)

from ..backbone_pm_vit import refusal
from ..checkpoint_pm_vit import assumed_settings
from ..image_processing_pm_vit import PMViTImageProcessor
from ..utils.errors import InputError
from .source import Source, as_image_size, check_image_size, check_keys

_CLASSES: dict[Any, Any] = {"vit": ViTForImageClassification, "dinov2": Dinov2ForImageClassification}
_PREPROCESSING = ("image_mean", "image_std", "resample", "do_normalize", "do_rescale", "rescale_factor")


def load_transformers(source: str, config: dict[str, Any]) -> PreTrainedModel:
    """The model of the source. Its classifier is an identity if the checkpoint has none."""
    _check_transformers(config)
    model: PreTrainedModel
    model, info = _CLASSES[config["model_type"]].from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    missing = {key for key in info["missing_keys"] if not key.startswith("classifier.") and "mask_token" not in key}
    unexpected = {key for key in info["unexpected_keys"] if not re.search(r"pooler|mask_token|decoder", key)}
    check_keys(missing, unexpected)
    if any(key.startswith("classifier.") for key in info["missing_keys"]):
        model.classifier = nn.Identity()
    return model


def read_transformers(model: PreTrainedModel, image_size: int | Sequence[int] | None) -> Source:
    _check_transformers(model.config.to_dict())
    backbone: Any = model.base_model
    config: Any = model.config
    if not isinstance(backbone, (ViTModel, Dinov2Model)):
        raise InputError(f"{type(model).__name__} is not a ViTModel, a Dinov2Model, or a classifier on one of these.")
    is_dinov2 = isinstance(backbone, Dinov2Model)
    embeddings = backbone.embeddings
    patch = as_image_size(embeddings.patch_embeddings.patch_size)
    own_size = (embeddings.patch_embeddings.image_size[0], embeddings.patch_embeddings.image_size[1])
    height, width = size = check_image_size(image_size, own_size, patch)
    state_dict = backbone.state_dict()
    if size != own_size:
        if own_size[0] != own_size[1] or not isinstance(patch, int):
            raise InputError(
                "transformers interpolates position embeddings only from square images with square patches: keep the "
                f"image size {own_size} of the source (patch size {patch})."
            )
        embeddings.patch_size = patch  # ViT of transformers divides by it
        tokens = torch.empty(1, 1 + (height // patch) * (width // patch), config.hidden_size)
        state_dict["embeddings.position_embeddings"] = embeddings.interpolate_pos_encoding(tokens, height, width)
    resized = {} if is_dinov2 else {"interpolate_pos_encoding": size != own_size}

    classifier = getattr(model, "classifier", None)
    classifier = classifier if isinstance(classifier, nn.Linear) else None
    no_classifier, names = "the source has none", []
    if classifier is not None:
        names = [config.id2label[i] for i in range(classifier.out_features)]
        if is_dinov2:
            no_classifier = "that of the source takes the class token and the mean of the patches together"
            classifier = None

    def forward(pixel_values: torch.Tensor) -> tuple[torch.Tensor, Any]:
        tokens = backbone(pixel_values, **resized).last_hidden_state
        return tokens, classifier and model(pixel_values, **resized).logits

    shared = "hidden_size num_hidden_layers num_attention_heads hidden_act layer_norm_eps qkv_bias num_channels "
    shared += "hidden_dropout_prob attention_probs_dropout_prob initializer_range problem_type"
    arguments = {name: getattr(config, name) for name in shared.split()} | {"patch_size": patch}
    arguments["intermediate_size"] = (
        int(config.hidden_size * config.mlp_ratio) if is_dinov2 else config.intermediate_size
    )
    return Source(
        arguments,
        size,
        state_dict,
        forward,
        _preprocessing(config._name_or_path, config.to_dict()),
        classifier,
        no_classifier,
        names,
    )


def _check_transformers(config: dict[str, Any]) -> None:
    kind = str(config.get("model_type"))
    if kind not in _CLASSES:
        what = "it is a PM-ViT already." if kind == "pm_vit" else refusal(config)
        raise InputError(f"a {kind!r} model cannot be converted: {what}")


def _preprocessing(source: str, config: dict[str, Any]) -> dict[str, Any]:
    if not source:  # created in memory
        found = assumed_settings("The model", config)
    else:
        try:
            found = AutoImageProcessor.from_pretrained(source).to_dict()
        except (OSError, ValueError):
            try:
                found, _ = PMViTImageProcessor.get_image_processor_dict(source)
            except OSError as error:
                raise InputError(f"the image processor of {source} cannot be read: {error}") from error
    return {name: found[name] for name in _PREPROCESSING if found.get(name) is not None}
