"""Configuration of PM-ViT."""

from copy import deepcopy
from dataclasses import field
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig, ViTConfig

from .backbone_pm_vit import FAMILIES, Pooling, as_backbone_config, has_class_token, own_pooling, refusal
from .timm_pm_vit import describe_timm

# With these the Auto classes and `pipeline` find the code in a saved folder.
AUTO_MAP = {
    "AutoConfig": "configuration_pm_vit.PMViTConfig",
    "AutoModel": "modeling_pm_vit.PMViTForImageClassification",
    "AutoModelForImageClassification": "modeling_pm_vit.PMViTForImageClassification",
    "AutoImageProcessor": "image_processing_pm_vit.PMViTImageProcessor",
}
CUSTOM_PIPELINES = {
    "image-explanation": {
        "impl": "pipeline_pm_vit.ImageExplanationPipeline",
        "pt": ["AutoModelForImageClassification"],
        "type": "image",
    }
}

# What `pm-vit calibrate` fits to weights, as it is before: training changes the weights, so it starts from these again.
CONFIDENCE_SETTINGS = {
    "confidence_score": "max_probability",
    "confidence_threshold": None,
    "confidence_references": None,
    "empty_classes": None,
}
UNCALIBRATED = {"class_temperature": 1.0, "map_temperature": 1.0} | CONFIDENCE_SETTINGS
# Sizes of a ViT, which a PM-ViT takes over from its backbone.
_SIZES = ("image_size", "patch_size", "num_channels", "hidden_size", "num_hidden_layers", "num_attention_heads")
# Of the configuration of a classifier of transformers: what is not about its backbone.
_OF_CLASSIFIER = ("id2label", "label2id", "problem_type", "dtype", "torch_dtype", "_commit_hash", "quantization_config")


@strict
class PMViTConfig(ViTConfig):
    r"""
    A [`ViTConfig`] with the backbone, what the classifier reads of it, the settings of the mask loss, which are
    used in training only, and what `pm-vit calibrate` has found on held-out images, which is used in every answer.

    Args:
        backbone_config (`PreTrainedConfig` or `dict`, *optional*):
            The configuration of another Vision Transformer than ViT, of one of the `FAMILIES`. The sizes of a
            [`ViTConfig`] (`image_size`, `patch_size`, `hidden_size`, ...) are then those of the backbone. By default
            the model is a ViT, and its checkpoints are those of [`ViTForImageClassification`].
        pooling (`"cls"`, `"mean"` or `"cls_mean"`, *optional*):
            What the classifier reads of the final tokens: the class token; the mean of the patches, so that the logit
            of an image is the mean of the logits of its patches; or both, concatenated, where the class token adds the
            same to the logits of all patches. By default what the classifier of transformers reads on this backbone.
        mask_loss_weight (`float`, *optional*, defaults to 1.0):
            λ in `loss = classification loss + λ · mask loss`. The mask loss is averaged over all images of a batch,
            where an image without a mask counts as 0, so the weight of a mask does not depend on its batch. With masks
            on a fraction `r` of the images, `1 / r` gives both terms the same weight.
        mask_loss_type (`"joint"`, `"softmax"` or `"sigmoid"`, *optional*, defaults to `"joint"`):
            The loss of a patch. `"softmax"`: the patch has one of the classes or is background, with a fixed logit of
            0. `"sigmoid"`: the classes are independent (binary cross-entropy, summed over all classes). `"joint"`: the
            sum of both; the first learns quickly where objects are, the second keeps the probability of a class low on
            objects of other classes.
        min_area (`float` or `list[float]`, *optional*, defaults to 0.25):
            Where the label of an image is all that is known of its patches: the share of them on which its class has
            at least half the probability; of all classes, or of each.
        class_temperature (`float`, *optional*, defaults to 1.0):
            The logits of an image are divided by it before they become probabilities; above 1 they are less certain.
            `pm-vit calibrate` fits it on held-out images. It changes no order of the classes, and no output of
            `forward`.
        map_temperature (`float`, *optional*, defaults to 1.0):
            The same for the logits of the patches. It moves no pixel across a probability of 0.5.
        confidence_score (`str`, *optional*, defaults to `"max_probability"`):
            How sure the model is of an image as a whole: one of `CONFIDENCE_SCORES` or `DISTANCE_SCORES` of
            `confidence_pm_vit.py`.
        confidence_threshold (`float`, *optional*):
            An image with a lower confidence is marked as `"unsure"`. By default none is.
        confidence_references (`int`, *optional*):
            With one of `DISTANCE_SCORES`: the number of features in the weights that the image is compared with.
        empty_classes (`list[str]`, *optional*):
            Names of classes without an object, such as `normal`: their maps are expected to be empty.
    """

    model_type = "pm_vit"
    # Outputs that are no predictions for `Trainer`: with them its metrics would get a tuple instead of the logits.
    keys_to_ignore_at_inference = [
        *("mask_logits", "explain_labels", "classification_loss", "mask_loss", "top_mask_logits", "feature_distance")
    ]

    sub_configs = {"backbone_config": AutoConfig}

    backbone_config: dict[str, Any] | PreTrainedConfig | None = None
    pooling: Pooling | None = None
    mask_loss_weight: float | int = 1.0
    mask_loss_type: Literal["joint", "softmax", "sigmoid"] = "joint"
    min_area: float | int | list[float] = 0.25
    class_temperature: float | int = 1.0
    map_temperature: float | int = 1.0
    confidence_score: Literal[
        "max_probability", "certainty", "energy", "seen", "named_and_seen", "mahalanobis", "nearest_neighbours"
    ] = "max_probability"
    confidence_threshold: float | int | None = None
    confidence_references: int | None = None
    empty_classes: list[str] | None = None

    if TYPE_CHECKING:  # never None here, as transformers allows
        id2label: dict[int, str] = field(default_factory=dict)
        label2id: dict[str, int] = field(default_factory=dict)
        num_labels: int = 2

    def __post_init__(self, **kwargs: Any) -> None:
        # Not the values of a loaded checkpoint, which can name another repository: the code is saved with the weights.
        kwargs |= {"auto_map": deepcopy(AUTO_MAP), "custom_pipelines": deepcopy(CUSTOM_PIPELINES)}
        self._read_backbone()
        super().__post_init__(**kwargs)
        if self.id2label and not self.label2id:
            self.label2id = {name: index for index, name in self.id2label.items()}
        if self.mask_loss_weight < 0:
            raise ValueError(f"mask_loss_weight must be at least 0, got {self.mask_loss_weight}.")
        if not all(0 < area < 1 for area in (self.min_area if isinstance(self.min_area, list) else [self.min_area])):
            raise ValueError(f"min_area must lie between 0 and 1, got {self.min_area}.")
        for name in ("class_temperature", "map_temperature"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} must be a number above 0, got {getattr(self, name)}.")

    def _read_backbone(self) -> None:
        """Take over the sizes of the backbone. Raises ValueError if it cannot be one, or has no class token to read."""
        backbone: Any = self.backbone_config
        if backbone is None:
            self.pooling = self.pooling or "cls"
            return
        settings = backbone if isinstance(backbone, dict) else backbone.to_dict()
        kind = settings.get("model_type", "")
        if reason := refusal(settings):
            raise ValueError(f"a {kind!r} model cannot be a backbone of PM-ViT: {reason}")
        if kind not in FAMILIES:
            raise ValueError(f"backbone_config must be the vision_config of the {kind!r} model.")
        if isinstance(backbone, dict):
            self.backbone_config = backbone = CONFIG_MAPPING[kind].from_dict(backbone)
        if kind == "timm_wrapper":
            describe_timm(backbone)
        for name, value in FAMILIES[kind].settings.items():
            setattr(backbone, name, value)
        for name in _SIZES:
            setattr(self, name, getattr(backbone, name))
        self.pooling = self.pooling or own_pooling(backbone, FAMILIES[kind])
        self.check_pooling()

    def check_pooling(self) -> None:
        """Raises ValueError if the backbone has no class token to read. `from_pretrained` sets `pooling` afterwards."""
        backbone: Any = self.backbone_config
        if self.pooling != "mean" and backbone is not None and not has_class_token(backbone):
            kind = backbone.model_type
            raise ValueError(f"pooling {self.pooling!r} reads a class token, which a {kind!r} backbone does not have.")

    def __setattr__(self, name: str, value: Any) -> None:
        # Scripts of transformers give indices as strings, and `from_pretrained` sets what it is given afterwards.
        if name == "id2label" and value:
            value = {int(index): label for index, label in value.items()}
        if name == "label2id" and value:
            value = {label: int(index) for label, index in value.items()}
        super().__setattr__(name, value)

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        As of [`PreTrainedConfig`]. The configuration of a ViT is read as one of PM-ViT, without a warning, and that of
        a model of another of the `FAMILIES` as one with this backbone.

        Raises:
            ValueError: if it is of a model of another kind.
        """
        settings, unused = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        kind = settings.get("model_type", cls.model_type)
        if kind not in (cls.model_type, PMViTConfig.model_type, ViTConfig.model_type):
            name = pretrained_model_name_or_path
            if reason := refusal(settings):
                raise ValueError(f"{name} is a model of the type {kind!r}, which cannot be a PM-ViT: {reason}")
            if kind == "timm_wrapper":
                raise ValueError(
                    f"{name} is a model of timm, whose weights have other names: convert it with "
                    f"`pm-vit convert {name} --output_dir FOLDER`."
                )
            own = {name: settings[name] for name in _OF_CLASSIFIER if settings.get(name) is not None}
            settings = own | as_backbone_config(settings)
        return settings | {"model_type": cls.model_type}, unused


PMViTConfig.register_for_auto_class()

__all__ = ["CONFIDENCE_SETTINGS", "UNCALIBRATED", "PMViTConfig"]
