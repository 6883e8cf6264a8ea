"""PM-ViT: a Vision Transformer whose image classifier also predicts the classes of every patch.

Kang, Heo, Choe: *Improving ViT interpretability with patch-level mask prediction*, Pattern Recognition Letters 187
(2025), 73-79.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import tee
from math import log
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForImageClassification
from transformers import initialization as init
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, apply_renamings
from transformers.models.vit.modeling_vit import ViTEmbeddings, ViTModel, ViTPreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .backbone_pm_vit import (
    build_backbone,
    family_of,
    norm_of_mean,
    normalized_as_mean,
    pair,
    prefix_tokens,
    unused_weights,
)
from .checkpoint_pm_vit import adapter_base, check_weights
from .classifier_pm_vit import class_logits
from .configuration_pm_vit import PMViTConfig
from .distance_pm_vit import FeatureDistance
from .explanation_pm_vit import IGNORE, Prediction, class_indices, rows_of_one_shape
from .image_loading_pm_vit import Source, Window, is_single, load_image, load_images
from .image_processing_pm_vit import PMViTImageProcessor
from .inputs_pm_vit import CHECK_EVERY, check_images, check_labels, check_values
from .loss_pm_vit import (
    has_binary_labels,
    image_classification_loss,
    number_of_images,
    sigmoid_patch_loss,
    softmax_patch_loss,
)
from .maps_pm_vit import MapSize, check_threshold
from .pipeline_pm_vit import ImageExplanationPipeline
from .regions_pm_vit import open_regions
from .result_pm_vit import Explanation, reference
from .tiles_pm_vit import OVERLAP, predict_tiles, processor_of_tiles, tiling_of
from .weak_loss_pm_vit import open_patch_loss, presence_loss


@dataclass
class PMViTImageClassifierOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `labels` is given):
            `classification_loss + config.mask_loss_weight * mask_loss`.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Scores of the classes before the softmax (or the sigmoid, for multi-label models) and before the division by
            `config.class_temperature`: [`class_probabilities`] does both.
        mask_logits (`torch.FloatTensor` of shape `(batch_size, K, height / patch, width / patch)`, *optional*):
            For each explained class and each patch; [`map_probabilities`] makes the probabilities that the class is
            there of them: `(mask_logits / config.map_temperature).sigmoid()`.
        explain_labels (`torch.LongTensor` of shape `(batch_size, K)`, *optional*):
            The classes that `mask_logits` explains, in the same order. `-100`: an empty slot.
        classification_loss, mask_loss (`torch.FloatTensor` of shape `(1,)`, *optional*):
            The two terms of the loss, before weighting.
        top_mask_logits (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            The highest logit of the most probable class on a patch; in evaluation mode, without `labels`.
        feature_distance (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            [`FeatureDistance`] of the image, if it is the score of confidence; in evaluation mode, without `labels`.
        hidden_states, attentions (`tuple(torch.FloatTensor)`, *optional*):
            As in [`ViTForImageClassification`].
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor = None  # type: ignore[assignment] # always given, but `ModelOutput` asks for a default
    mask_logits: torch.Tensor | None = None
    explain_labels: torch.Tensor | None = None
    classification_loss: torch.Tensor | None = None
    mask_loss: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    top_mask_logits: torch.Tensor | None = None
    feature_distance: torch.Tensor | None = None


class PMViTEmbeddings(ViTEmbeddings):
    """[`ViTEmbeddings`] whose position embedding can also be interpolated if the grids are not square."""

    def interpolate_pos_encoding(self, embeddings: torch.Tensor, height: int, width: int) -> torch.Tensor:
        patch_height, patch_width = self.patch_embeddings.patch_size
        old_height, old_width = self.image_size[0] // patch_height, self.image_size[1] // patch_width
        class_position, patch_positions = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        patch_positions = patch_positions.unflatten(1, (old_height, old_width)).permute(0, 3, 1, 2)
        patch_positions = nn.functional.interpolate(
            patch_positions.float(),  # not all devices have a bicubic interpolation in half precision
            size=(height // patch_height, width // patch_width),
            mode="bicubic",
            align_corners=False,
        ).to(embeddings.dtype)
        return torch.cat((class_position, patch_positions.flatten(2).transpose(1, 2)), dim=1)


class _ForwardSignature(inspect.Signature):
    """
    The signature of `forward`: as looked up in the class its only labels are `labels`, as that of a model it is whole.

    `Trainer` asks the class which arguments contain the word "label" (`find_labels`). A batch without one of them gets
    no loss and no metrics in an evaluation. The columns of a dataset that it keeps are the arguments of the model's.
    """

    def __init__(self, whole: inspect.Signature):
        shown = [x for name, x in whole.parameters.items() if "label" not in name or name == "labels"]
        super().__init__(shown)
        self.whole = whole

    def replace(self, **changes: Any) -> inspect.Signature:  # type: ignore[override]
        """What `inspect` asks of the signature of a bound method: the same without `self`."""
        return self.whole.replace(parameters=list(self.whole.parameters.values())[1:])


class PMViTForImageClassification(ViTPreTrainedModel):
    """
    [`ViTForImageClassification`] that also predicts where classes are: its classifier is applied to the final patch
    tokens too. It has no additional parameters, so both load the same checkpoints.

    With `config.backbone_config` its backbone is another Vision Transformer, and the checkpoints are those of the
    classifier of transformers on it. `base_model` is the backbone.
    """

    config: PMViTConfig
    config_class = PMViTConfig
    _no_split_modules = ["PMViTEmbeddings", "ViTLayer"]
    # Of other heads of a ViT, and of a calibration that training has discarded.
    _keys_to_ignore_on_load_unexpected = [r"(^|\.)pooler\.", r"mask_token$", r"^decoder\.", r"^distance\."]

    def __init__(self, config: PMViTConfig):
        if config.num_labels < 1:
            raise ValueError(f"PM-ViT explains classes: num_labels must be at least 1, got {config.num_labels}.")
        config.check_pooling()
        super().__init__(config)
        self.loss_function = image_classification_loss  # else chosen by the name of the class
        self.num_labels = config.num_labels
        self._calls_with_labels = 0  # on an accelerator
        self.family = family_of(config)
        self.base_model_prefix = self.family.attribute
        self.num_prefix_tokens = 1
        backbone: Any = config.backbone_config
        if backbone is None:
            # It must be a `ViTModel`: transformers renames the keys of older checkpoints only for this class name.
            self.vit = ViTModel(config, add_pooling_layer=False)
            self.vit.embeddings = PMViTEmbeddings(config)
        else:
            setattr(self, self.family.attribute, build_backbone(backbone))
            self.num_prefix_tokens = prefix_tokens(backbone)
            self._keys_to_ignore_on_load_unexpected = [*unused_weights(self.family), r"^distance\."]
            if self.mean_norm is not None and config.pooling != "mean":
                raise ValueError(
                    f"pooling {config.pooling!r} reads final tokens, but this {backbone.model_type!r} backbone has its "
                    "norm after the mean of the patches: its pooling is 'mean'."
                )
        features = config.hidden_size * (2 if config.pooling == "cls_mean" else 1)
        self.classifier = nn.Linear(features, config.num_labels)
        self.distance = None
        if config.confidence_references is not None:
            self.distance = FeatureDistance(config.confidence_score, config.confidence_references, features)
        self.post_init()

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """
        As of [`PreTrainedModel`], of a PM-ViT, a ViT, or a folder with an adapter (peft) of one of them.

        A checkpoint without a classifier gets a new one only if the classes are named (`num_labels`, `id2label` or a
        `config`), and one with other classes only with `ignore_mismatched_sizes=True`: they have to be trained. With
        `output_loading_info=True` the missing and unexpected weights are returned, and not checked.

        Raises:
            ValueError: if the checkpoint is of another kind, or not all of its weights are those of the model.
        """
        source, base = pretrained_model_name_or_path, adapter_base(pretrained_model_name_or_path)
        if base is not None:  # it has a classifier of its own
            source, kwargs["ignore_mismatched_sizes"] = base, True
            kwargs.setdefault("config", cls.config_class.from_pretrained(pretrained_model_name_or_path))
            kwargs["adapter_kwargs"] = {"_adapter_model_path": str(pretrained_model_name_or_path)}
        loaded: Any = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        model, info = loaded
        if base is not None:
            model.name_or_path = model.config.name_or_path = str(pretrained_model_name_or_path)
        if output_loading_info:
            return model, info
        if kwargs.get("state_dict") is None:
            asked = ("num_labels", "id2label", "label2id", "ignore_mismatched_sizes")
            new_classifier = any(kwargs.get(name) for name in asked) or (
                kwargs.get("config") is not None and not kwargs.get("_from_auto")
            )
            asked_for = {"mismatched_keys": ()}  # otherwise transformers raised an error
            check_weights(str(pretrained_model_name_or_path), info | asked_for, new_classifier)
        return model

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.classifier:
            # The initial probability at a patch is 1 / K for each class and 1 / 2 for the background. With logits of 0
            # the mask loss would first reduce all K classes at every patch and dominate the classification loss.
            init.constant_(module.bias, -log(self.num_labels))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # `save_pretrained` writes ViT's old names, which only `from_pretrained` translates. `Trainer`, when it resumes
        # or loads the best model, would find no layer under them, warn, and go on with the weights at hand.
        conversions = get_model_conversion_mapping(self, add_legacy=False)
        renamings = [conversion for conversion in conversions if isinstance(conversion, WeightRenaming)]
        for name in [name for name in state_dict if name.startswith(prefix)]:
            renamed = prefix + apply_renamings(name.removeprefix(prefix), renamings)
            state_dict[renamed] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _set_gradient_checkpointing(self, enable: bool = True, *args: Any, **kwargs: Any) -> None:
        backbone: Any = self.base_model
        if hasattr(backbone, "timm_model"):  # timm checkpoints its blocks itself
            backbone._set_gradient_checkpointing(enable)
        else:
            super()._set_gradient_checkpointing(enable, *args, **kwargs)

    @property
    def layers(self) -> Any:
        """The layers of the backbone, a `ModuleList`."""
        return self.base_model.get_submodule(self.family.layers)

    @property
    def final_norm(self) -> nn.Module:
        """The norm after the last layer of the backbone; an identity if there is none."""
        return self.base_model.get_submodule(self.family.final_norm) if self.family.final_norm else nn.Identity()

    @property
    def mean_norm(self) -> nn.LayerNorm | None:
        """The norm between the mean of the patches and the classifier, of backbones that have it there."""
        return norm_of_mean(self.base_model, self.family)

    @property
    def device(self) -> torch.device:
        """Where its inputs belong: with weights that Accelerate has offloaded, the device that computes."""
        device: torch.device = super().device
        if device.type == "meta" and hasattr(self, "_hf_hook"):
            return torch.device(getattr(self._hf_hook, "execution_device", None) or "cpu")
        return device

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """As in transformers; reentrant only if `use_reentrant` is true, and then also right after frozen layers."""
        settings = {"use_reentrant": False} | (activation_checkpointing_kwargs or {})
        super().activation_checkpointing_enable(settings, *args, **kwargs)
        for layer in self.layers if settings["use_reentrant"] else ():
            if _start_gradients not in layer._forward_pre_hooks.values():
                layer.register_forward_pre_hook(_start_gradients)

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        mask_labels: torch.Tensor | None = None,
        explain_labels: torch.Tensor | int | None = None,
        interpolate_pos_encoding: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        mask_rows: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> PMViTImageClassifierOutput:
        r"""
        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, channels, height, width)`):
                Height and width must be multiples of the patch size.
            labels (`torch.LongTensor` of shape `(batch_size,)`, multi-label `(batch_size, num_labels)`, *optional*):
                The class of each image, or, as floats, whether each class is present (1) or absent (0); for a model of
                one class that of each image `(batch,)`. `-100`: unknown.
            mask_labels (`torch.FloatTensor` of shape `(batch_size, K, height / patch, width / patch)`, *optional*):
                The fraction of each patch, in [0, 1], that the mask of each class covers. `-100`: unknown. A class is
                left out of the loss where it is unknown (everywhere: it has no mask), a patch where all its classes
                are unknown. Any number of images can be without masks. A value in [-1, 0): the class may be on the
                patch or not, and is on some of these patches, a statement of the weight `-value`; classes without a
                value are on none (see `weak_loss_pm_vit.py`).
            explain_labels (`torch.LongTensor` of shape `(batch_size, K)` or `int`, *optional*):
                The classes of `mask_labels` and `mask_logits`: an index per image and slot (`-100`: empty slot), or a
                number k for the k most probable classes of each image (0: none). By default the class in `labels`, or
                the most probable class without `labels` or with several per image; with `mask_labels` of all classes
                these, in their order.
            interpolate_pos_encoding (`bool`, *optional*):
                By default the position embedding is interpolated if the image size is not `config.image_size`.
            num_items_in_batch (`int`, *optional*):
                The number of labels over which the loss is averaged if a batch is split (gradient accumulation, several
                processes): those that are not -100, as [`Trainer`] counts them. The mask loss is averaged over as many
                images, or over `num_items_in_batch / num_labels` if there are `num_labels` for each image. By default
                the labels and the images of this call.
            mask_rows (`torch.LongTensor` of shape `(M,)`, *optional*):
                The indices of all images that have a mask, and of any others, each once: the mask loss is computed for
                these images only. By default they are found in `mask_labels`, for which an accelerator has to be waited
                for.

        Raises:
            ValueError: if a shape, a label or a mask value is not as described above; the message has the expected and
                the found value. NaN and infinity in `pixel_values` are detected on a CPU and in training. On an
                accelerator values are checked in the first and then in every 100th call with labels.
        """
        height, width = check_images(pixel_values, self.config)
        if mask_labels is not None and labels is None:
            raise ValueError("mask_labels without labels: give the class of each image (-100 if unknown).")
        if labels is not None:
            check_labels(labels, len(pixel_values), self.config)
        if not torch.compiler.is_compiling() and self._checks_are_due(pixel_values.device, labels is not None):
            check_values(pixel_values, labels, mask_labels, explain_labels, self.config)
        outputs = self.run_backbone(pixel_values, interpolate_pos_encoding, **kwargs)
        patch_height, patch_width = pair(self.config.patch_size)
        explained = self.explain_tokens(
            outputs.last_hidden_state,
            (height // patch_height, width // patch_width),
            labels,
            mask_labels,
            explain_labels,
            num_items_in_batch,
            mask_rows,
        )
        explained.hidden_states, explained.attentions = outputs.hidden_states, outputs.attentions
        return explained

    def run_backbone(
        self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool | None = None, **kwargs: Any
    ) -> Any:
        """The outputs of the backbone: `last_hidden_state`, and what else `kwargs` ask for. As in `forward`."""
        options: dict[str, Any] = {"return_dict": True}
        if self.family.interpolates:
            if interpolate_pos_encoding is None:
                # In an exported graph the size of a ViT is symbolic. Always interpolating is exact there; a comparison
                # would fix the size, as it does for other backbones, whose interpolation has conditions of its own.
                symbolic = torch.compiler.is_exporting() and self.config.backbone_config is None
                interpolate_pos_encoding = symbolic or tuple(pixel_values.shape[-2:]) != pair(self.config.image_size)
            options["interpolate_pos_encoding"] = interpolate_pos_encoding
        return self.base_model(pixel_values, **(kwargs | options))

    def explain_tokens(
        self,
        tokens: torch.Tensor,
        grid: tuple[int, int],
        labels: torch.Tensor | None = None,
        mask_labels: torch.Tensor | None = None,
        explain_labels: torch.Tensor | int | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        mask_rows: torch.Tensor | None = None,
    ) -> PMViTImageClassifierOutput:
        """
        The part of `forward` after the ViT.

        Args:
            tokens: `(batch, num_prefix_tokens + rows * columns, hidden)`, after the final layer norm.
            grid: rows and columns of patches.
            labels, mask_labels, explain_labels, num_items_in_batch, mask_rows: as in `forward`.
        """
        logits = self.image_logits(tokens)
        patches = self.patch_inputs(tokens)
        if patches.device != logits.device:  # `device_map` can put the classifier on a device of its own
            patches = patches.to(logits.device)

        if explain_labels is None and mask_labels is not None and labels is not None:
            explain_labels = self._masked_classes(labels, mask_labels)
        explain_labels, has_slots = self._explained_classes(explain_labels, labels, logits)
        mask_logits = None
        if explain_labels.shape[1] > 0:
            classes = explain_labels.clamp(min=0) if has_slots else explain_labels
            mask_logits = class_logits(self.classifier, patches, classes)  # (batch, K, patches)
            if has_slots:
                empty = (explain_labels < 0).unsqueeze(-1)
                mask_logits = mask_logits.masked_fill(empty, torch.finfo(mask_logits.dtype).min)
            mask_logits = mask_logits.unflatten(-1, grid)
        top_mask_logits = feature_distance = None
        if labels is None and not self.training:
            feature_distance = None if self.distance is None else self.distance(self.image_inputs(tokens))
            if mask_logits is not None and not has_slots:  # the most probable class comes first
                top_mask_logits = mask_logits[:, 0].flatten(1).amax(-1)
            else:
                top_mask_logits = class_logits(self.classifier, patches, logits.argmax(-1, keepdim=True)).amax((1, 2))

        loss = classification_loss = mask_loss = None
        if labels is not None:
            num_items: dict[str, Any] = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
            loss = classification_loss = self.loss_function(labels, logits.float(), self.config, **num_items)
        if mask_labels is not None:
            if mask_logits is None or mask_labels.shape != mask_logits.shape:
                expected = None if mask_logits is None else tuple(mask_logits.shape)
                raise ValueError(
                    f"mask_labels must have the shape (batch, K, height / patch, width / patch) of mask_logits, "
                    f"{expected}, got {tuple(mask_labels.shape)}."
                )
            assert labels is not None  # `forward` has checked it
            images = number_of_images(num_items_in_batch, labels, self.config)
            mask_loss = self._mask_loss(patches, mask_labels.to(logits.device), explain_labels, images, mask_rows)
            weighted = self.config.mask_loss_weight * mask_loss
            loss = weighted if classification_loss is None else classification_loss + weighted

        return PMViTImageClassifierOutput(
            loss=loss,
            logits=logits,
            mask_logits=mask_logits,
            explain_labels=explain_labels if mask_logits is not None else None,
            classification_loss=classification_loss,
            mask_loss=mask_loss,
            top_mask_logits=top_mask_logits,
            feature_distance=feature_distance,
        )

    def _checks_are_due(self, device: torch.device, has_labels: bool) -> bool:
        """Whether this call checks values: on an accelerator not every one, as it waits for all earlier work there."""
        if device.type == "cpu" or not has_labels:
            return True
        self._calls_with_labels += 1
        return self._calls_with_labels % CHECK_EVERY == 1

    def image_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of the image `(batch, num_labels)` from the final tokens, `(batch, prefix + patches, hidden)`."""
        return self.classifier(self.image_inputs(tokens))

    def image_inputs(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the classifier reads of the image `(batch, features)`, from the final tokens."""
        return tokens[:, 0] if self.config.pooling == "cls" else self.patch_inputs(tokens).mean(1)

    def patch_inputs(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the classifier reads for each patch `(batch, patches, features)`, from the final tokens."""
        patches = tokens[:, self.num_prefix_tokens :]
        if self.config.pooling == "cls_mean":
            return torch.cat((tokens[:, :1].expand_as(patches), patches), -1)
        norm = self.mean_norm
        return patches if norm is None else normalized_as_mean(norm, patches)

    def _masked_classes(self, labels: torch.Tensor, mask_labels: torch.Tensor) -> torch.Tensor | None:
        """The classes `(batch, K)` of masks that come without them; None: those in the labels."""
        classes = self.config.num_labels
        if not has_binary_labels(self.config, labels):
            return None
        if mask_labels.shape[:2] != (len(labels), classes):
            raise ValueError(
                f"mask_labels of an image with several labels need explain_labels, the classes of the masks; without "
                f"them they must have the shape (batch, num_labels = {classes}, ...), got {tuple(mask_labels.shape)}."
            )
        return torch.arange(classes, device=mask_labels.device).expand(len(labels), -1)

    def _explained_classes(
        self, explain_labels: torch.Tensor | int | None, labels: torch.Tensor | None, logits: torch.Tensor
    ) -> tuple[torch.Tensor, bool]:
        """The classes to explain as a tensor `(batch, K)`, and whether some can be empty slots."""
        if explain_labels is None:
            if labels is not None and not has_binary_labels(self.config, labels):
                return labels.to(logits.device).view(-1, 1), True
            explain_labels = 1
        if isinstance(explain_labels, int):
            if not 0 <= explain_labels <= self.config.num_labels:
                raise ValueError(
                    f"explain_labels, as a number of classes, must be in 0 ... num_labels = {self.config.num_labels}, "
                    f"got {explain_labels}."
                )
            return logits.topk(explain_labels, dim=-1).indices, False
        explain_labels = torch.as_tensor(explain_labels, device=logits.device)
        batch_size = logits.shape[0]  # symbolic in an exported graph; `len` would fix it
        if explain_labels.ndim != 2 or explain_labels.shape[0] != batch_size or explain_labels.is_floating_point():
            raise ValueError(
                f"explain_labels must be a number of classes or integer indices of shape (batch, K) with batch = "
                f"{batch_size}, got {explain_labels.dtype} of shape {tuple(explain_labels.shape)}."
            )
        return explain_labels, True

    def _mask_loss(
        self,
        patches: torch.Tensor,
        mask_labels: torch.Tensor,
        explain_labels: torch.Tensor,
        images: torch.Tensor | int,
        mask_rows: torch.Tensor | None,
    ) -> torch.Tensor:
        """
        Cross-entropy between the predicted classes of a patch and the fraction that each class covers; mean over the
        known patches of an image, then over so many `images`. Classes that are not in `explain_labels` cover nothing.
        Where classes are possible, the part of them that is open is not charged, but that they are somewhere.
        """
        if not torch.compiler.is_compiling():  # only for images with masks all classes at all patches are computed
            if mask_rows is None:
                known = (mask_labels != IGNORE).flatten(2).any(-1) & (explain_labels >= 0)
                mask_rows = known.any(-1).nonzero().squeeze(-1)
            if not len(mask_rows):
                return patches.new_zeros((), dtype=torch.float32)
            patches, mask_labels, explain_labels = (x[mask_rows] for x in (patches, mask_labels, explain_labels))
        mask_labels = mask_labels.flatten(2).float()  # (rows, K, patches)
        used = (explain_labels >= 0).unsqueeze(-1)  # (rows, K, 1)
        given = (mask_labels != IGNORE) & used
        known = given.any(1)  # (rows, patches)
        coverage = torch.where(given, mask_labels, 0.0)  # below 0: the class is possible

        mask_logits = self.classifier(patches).float()  # (rows, patches, num_labels)
        index = explain_labels.clamp(min=0).unsqueeze(1).expand(-1, patches.shape[1], -1)
        explained_logits = mask_logits.gather(-1, index).transpose(1, 2)  # (rows, K, patches)
        left_out = used & ~given & known.unsqueeze(1)  # (rows, K, patches): the class is unknown, but not the patch
        may_read = mask_logits.device.type == "cpu" and not torch.compiler.is_compiling()
        if index.shape[-1] > 1 and (not may_read or left_out.any()):  # as if there were no such class
            hidden = torch.zeros_like(mask_logits).scatter_add(-1, index, left_out.transpose(1, 2).to(mask_logits))
            mask_logits = mask_logits.masked_fill(hidden > 0, torch.finfo(mask_logits.dtype).min)
        coverage, possible = coverage.clamp(min=0), -coverage.clamp(max=0)
        patch_loss = self.patch_loss(mask_logits, explained_logits, coverage, explain_labels)
        patch_loss = patch_loss - open_patch_loss(explained_logits, coverage, possible > 0, self.config.mask_loss_type)
        patch_loss = torch.where(known, patch_loss, 0.0)
        image_loss = patch_loss.sum(-1) / known.sum(-1).clamp(min=1)
        least: float | torch.Tensor | list[float] = self.config.min_area
        if isinstance(least, list):  # of each class
            least = torch.tensor(least).to(explained_logits.device, non_blocking=True)[explain_labels.clamp(min=0)]
        image_loss = image_loss + presence_loss(explained_logits, coverage, possible, least)
        return image_loss.sum() / images

    def patch_loss(
        self,
        mask_logits: torch.Tensor,
        explained_logits: torch.Tensor,
        coverage: torch.Tensor,
        explain_labels: torch.Tensor,
    ) -> torch.Tensor:
        """
        The mask loss of each patch, `(images, patches)`. A subclass overrides it to train with another mask loss.

        Args:
            mask_logits: `(images, patches, num_labels)`, of all classes; the lowest finite value for a class that is
                unknown at a patch.
            explained_logits, coverage: `(images, K, patches)`, the logits of the classes whose masks are known, and the
                fraction of the patch that they cover, in [0, 1].
            explain_labels: `(images, K)`, the indices of these classes; -100 for an empty slot, which covers nothing.
        """
        if self.config.mask_loss_type == "softmax":
            return softmax_patch_loss(mask_logits, explained_logits, coverage)
        if self.config.mask_loss_type == "sigmoid":
            return sigmoid_patch_loss(mask_logits, explained_logits, coverage)
        return softmax_patch_loss(mask_logits, explained_logits, coverage) + sigmoid_patch_loss(
            mask_logits, explained_logits, coverage
        )

    @torch.no_grad()
    def predict(self, pixel_values: torch.Tensor, explain_labels: int | Sequence[int] | torch.Tensor = 1) -> Prediction:
        """
        Scores and masks of preprocessed images, in evaluation mode and without gradients.

        Args:
            pixel_values: `(batch, channels, height, width)`, on any device and of any floating type.
            explain_labels: a number k for the k most probable classes, indices of K classes for all images, or indices
                `(batch, K)` for each.

        Returns:
            The input of [`PMViTImageProcessor.post_process_explanations`]; `mask_logits` on the device of the model.
        """
        if not isinstance(explain_labels, int):
            explain_labels = torch.as_tensor(explain_labels)
            if explain_labels.ndim == 1:
                explain_labels = explain_labels.expand(len(pixel_values), -1)
        was_training = self.training
        try:
            outputs = self.eval()(
                pixel_values.to(self.device, self.dtype), explain_labels=explain_labels, return_dict=True
            )
        finally:
            self.train(was_training)
        return Prediction.from_outputs(outputs, self.config)

    def explain(
        self,
        images: "Source | Image.Image | np.ndarray | torch.Tensor | Sequence[Any]",
        labels: str | Sequence[int | str] | None = None,
        *,
        top_k: int | None = None,
        image_processor: PMViTImageProcessor | None = None,
        threshold: float = 0.5,
        map_size: MapSize = None,
        keep_aspect_ratio: bool = False,
        tile: int | None = None,
        overlap: float = OVERLAP,
        window: Window | None = None,
    ) -> Explanation | list[Explanation]:
        """
        Classify photographs and show where each class is.

        Args:
            images: a path, URL, PIL image, array, or the bytes of a file, as [`load_image`] takes them, or a list of
                these.
            labels: classes to explain in every image, probable or not: a name, or a list of names or indices.
            top_k: instead of `labels`, the number of classes to explain, the most probable first. Default: 1.
            image_processor: by default that of the checkpoint from which the model was loaded.
            threshold: probability from which a pixel belongs to the class, for `masks` and `boxes`.
            map_size: (height, width) of `heatmaps` and `masks`; or their longer side, if it is below that of the image;
                or `"grid"`, a value per patch. By default the size of the image: 5 bytes per class and pixel.
            keep_aspect_ratio: do not squeeze or crop images to the shape that the model was trained with; see
                [`PMViTImageProcessor.adapted`]. For long, narrow images.
            tile: explain images of which a side is longer than this in tiles of this height in pixels, for details that
                would be lost if the whole image were resized to the input of the model; see [`predict_tiles`]. Of a
                TIFF file only the parts of the next tiles are in memory, if tifffile is installed. The
                score of a class is then its highest in any tile. For large images set `map_size` too.
            overlap: share of a tile's side that the next tile shows again, in [0, 0.9].
            window: of grey images, the values that become black and white; see [`load_image`].

        Returns:
            An [`Explanation`] for a single image, else a list of them. As a dictionary, with K classes: `label_ids` (K
            indices), `labels` (K names), `scores` (K probabilities that the image shows the class), `heatmaps`
            `(K, height, width)` probabilities that the class is at the pixel, `masks` (same shape, boolean) and
            `boxes`, K tuples of xmin, ymin, xmax, ymax in pixels of the image, the ends exclusive, `None` for an empty
            mask. It draws itself: `overlay()`, `plot()`, `save("explained.png")`, and as the result of a notebook cell.
            It refers to the image that was given, and does not copy it.

        Raises:
            ValueError: if an image cannot be read, the model does not have a class, or an argument is out of range.
        """
        check_threshold(threshold)
        classes = class_indices(labels, top_k, self.config)
        if image_processor is None:
            image_processor = PMViTImageProcessor.from_pretrained(self.config._name_or_path)
        if not hasattr(image_processor, "adapted"):
            raise ValueError(
                f"image_processor must be a PMViTImageProcessor, got {type(image_processor).__name__}: "
                "PMViTImageProcessor.from_pretrained reads the settings of other ViT processors too."
            )
        processor = image_processor.adapted(self.config.patch_size, keep_aspect_ratio)
        given: Any = images
        single = is_single(given)
        inputs: dict[int, torch.Tensor] = {}
        sizes, kept, explanations = [], [], {}
        every = list(range(self.config.num_labels))
        sources, again = tee([given] if single else given)
        load = partial(load_image, window=window)
        # What draws an explanation reads its file again, without a window.
        load_parts = load if tile is None or window is not None else lambda one: open_regions(one) or load(one)
        images_of = map(load_parts, again) if single else load_images(again, load_parts)
        for row, (source, image) in enumerate(zip(sources, images_of, strict=True)):
            size = (image.height, image.width)
            sizes.append(size)
            kept.append(reference(source, image) if window is None else image)
            if tile is None or (tiling := tiling_of(size, tile, overlap, processor)).is_single:
                whole = image if isinstance(image, Image.Image) else load(source)
                inputs[row] = processor(whole, return_tensors="pt").pixel_values
                continue
            prediction = predict_tiles(image, tiling, processor, lambda x: self.predict(x, every), classes)
            (explanations[row],) = processor_of_tiles(processor, tiling.cell).post_process_explanations(
                prediction, [size], self.config.id2label, threshold, map_size
            )
        for rows in rows_of_one_shape(inputs):
            prediction = self.predict(torch.cat([inputs[row] for row in rows]), classes)
            found = processor.post_process_explanations(
                prediction, [sizes[row] for row in rows], self.config.id2label, threshold, map_size
            )
            explanations |= dict(zip(rows, found, strict=True))
        for row, image in enumerate(kept):
            explanations[row].image = image
        return explanations[0] if single else [explanations[row] for row in range(len(kept))]


def _start_gradients(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Reentrant checkpointing gives the weights of a layer gradients only if an input of the layer requires one."""
    tokens, *others = inputs
    if layer.training and torch.is_grad_enabled() and any(p.requires_grad for p in layer.parameters()):
        return (tokens if tokens.requires_grad else tokens.detach().requires_grad_(), *others)
    return None


_forward: Any = PMViTForImageClassification.forward
_forward.__signature__ = _ForwardSignature(inspect.signature(_forward))

PMViTForImageClassification.register_for_auto_class("AutoModelForImageClassification")
if "image-explanation" not in PIPELINE_REGISTRY.supported_tasks:
    PIPELINE_REGISTRY.register_pipeline(
        "image-explanation", ImageExplanationPipeline, pt_model=AutoModelForImageClassification, type="image"
    )

__all__ = ["PMViTForImageClassification", "PMViTImageClassifierOutput"]
