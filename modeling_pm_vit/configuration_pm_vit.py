"""Configuration of PM-ViT."""

from copy import deepcopy
from dataclasses import field
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import ViTConfig

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
CONFIDENCE_SETTINGS = {"confidence_score": "max_probability", "confidence_threshold": None, "empty_classes": None}
UNCALIBRATED = {"class_temperature": 1.0, "map_temperature": 1.0} | CONFIDENCE_SETTINGS


@strict
class PMViTConfig(ViTConfig):
    r"""
    A [`ViTConfig`] with the two settings of the mask loss, which are used in training only, and with what
    `pm-vit calibrate` has found on held-out images, which is used in every answer.

    Args:
        mask_loss_weight (`float`, *optional*, defaults to 1.0):
            λ in `loss = classification loss + λ · mask loss`. The mask loss is averaged over all images of a batch,
            where an image without a mask counts as 0, so the weight of a mask does not depend on its batch. With masks
            on a fraction `r` of the images, `1 / r` gives both terms the same weight.
        mask_loss_type (`"joint"`, `"softmax"` or `"sigmoid"`, *optional*, defaults to `"joint"`):
            The loss of a patch. `"softmax"`: the patch has one of the classes or is background, with a fixed logit of
            0. `"sigmoid"`: the classes are independent (binary cross-entropy, summed over all classes). `"joint"`: the
            sum of both; the first learns quickly where objects are, the second keeps the probability of a class low on
            objects of other classes.
        class_temperature (`float`, *optional*, defaults to 1.0):
            The logits of an image are divided by it before they become probabilities; above 1 they are less certain.
            `pm-vit calibrate` fits it on held-out images. It changes no order of the classes, and no output of
            `forward`.
        map_temperature (`float`, *optional*, defaults to 1.0):
            The same for the logits of the patches. It moves no pixel across a probability of 0.5.
        confidence_score (`str`, *optional*, defaults to `"max_probability"`):
            How sure the model is of an image as a whole: one of `CONFIDENCE_SCORES` of `confidence_pm_vit.py`.
        confidence_threshold (`float`, *optional*):
            An image with a lower confidence is marked as `"unsure"`. By default none is.
        empty_classes (`list[str]`, *optional*):
            Names of classes without an object, such as `normal`: their maps are expected to be empty.
    """

    model_type = "pm_vit"
    # Outputs that are no predictions for `Trainer`: with them its metrics would get a tuple instead of the logits.
    keys_to_ignore_at_inference = [
        *("mask_logits", "explain_labels", "classification_loss", "mask_loss", "top_mask_logits")
    ]

    mask_loss_weight: float | int = 1.0
    mask_loss_type: Literal["joint", "softmax", "sigmoid"] = "joint"
    class_temperature: float | int = 1.0
    map_temperature: float | int = 1.0
    confidence_score: Literal["max_probability", "certainty", "energy", "seen", "named_and_seen"] = "max_probability"
    confidence_threshold: float | int | None = None
    empty_classes: list[str] | None = None

    if TYPE_CHECKING:  # never None here, as transformers allows
        id2label: dict[int, str] = field(default_factory=dict)
        label2id: dict[str, int] = field(default_factory=dict)
        num_labels: int = 2

    def __post_init__(self, **kwargs: Any) -> None:
        # Not the values of a loaded checkpoint, which can name another repository: the code is saved with the weights.
        kwargs |= {"auto_map": deepcopy(AUTO_MAP), "custom_pipelines": deepcopy(CUSTOM_PIPELINES)}
        super().__post_init__(**kwargs)
        if self.id2label and not self.label2id:
            self.label2id = {name: index for index, name in self.id2label.items()}
        if self.mask_loss_weight < 0:
            raise ValueError(f"mask_loss_weight must be at least 0, got {self.mask_loss_weight}.")
        for name in ("class_temperature", "map_temperature"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} must be a number above 0, got {getattr(self, name)}.")

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
        As of [`PreTrainedConfig`]. The configuration of a ViT is read as one of PM-ViT, without a warning.

        Raises:
            ValueError: if it is of a model of another kind.
        """
        settings, unused = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        kind = settings.get("model_type", cls.model_type)
        if kind not in (cls.model_type, PMViTConfig.model_type, ViTConfig.model_type):
            raise ValueError(
                f"{pretrained_model_name_or_path} is a model of the type {kind!r}, expected a PM-ViT or a ViT: convert "
                f"it with `pm-vit convert {pretrained_model_name_or_path} --output_dir FOLDER`, if it can be."
            )
        return settings | {"model_type": cls.model_type}, unused


PMViTConfig.register_for_auto_class()

__all__ = ["CONFIDENCE_SETTINGS", "UNCALIBRATED", "PMViTConfig"]
