"""PM-ViT: a Vision Transformer whose image classifier also says, for every patch, what is there.

Kang, Heo, Choe: *Improving ViT interpretability with patch-level mask prediction*, Pattern Recognition Letters 187
(2025), 73-79.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForImageClassification
from transformers import initialization as init
from transformers.models.vit.modeling_vit import ViTEmbeddings, ViTModel, ViTPreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_pm_vit import PMViTConfig
from .image_processing_pm_vit import IGNORE, Explanation, PMViTImageProcessor, Prediction, load_image
from .pipeline_pm_vit import ImageExplanationPipeline


@dataclass
class PMViTImageClassifierOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `labels` is given):
            `classification_loss + config.mask_loss_weight * mask_loss`.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Scores of the classes before the softmax (or the sigmoid, for several labels).
        mask_logits (`torch.FloatTensor` of shape `(batch_size, K, height / patch, width / patch)`, *optional*):
            For each explained class and each patch; `mask_logits.sigmoid()` is the probability that the class is there.
        explain_labels (`torch.LongTensor` of shape `(batch_size, K)`, *optional*):
            The classes that `mask_logits` explains, in the same order. `-100`: an empty slot.
        classification_loss, mask_loss (`torch.FloatTensor` of shape `(1,)`, *optional*):
            The two terms of the loss, before weighting.
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


class PMViTEmbeddings(ViTEmbeddings):
    """[`ViTEmbeddings`] whose position embedding can be interpolated from and to grids that are not square."""

    def interpolate_pos_encoding(self, embeddings: torch.Tensor, height: int, width: int) -> torch.Tensor:
        patch_height, patch_width = self.patch_embeddings.patch_size
        old_height, old_width = self.image_size[0] // patch_height, self.image_size[1] // patch_width
        class_position, patch_positions = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        patch_positions = patch_positions.unflatten(1, (old_height, old_width)).permute(0, 3, 1, 2)
        patch_positions = nn.functional.interpolate(  # in float32: bicubic half precision is not everywhere
            patch_positions.float(),
            size=(height // patch_height, width // patch_width),
            mode="bicubic",
            align_corners=False,
        ).to(embeddings.dtype)
        return torch.cat((class_position, patch_positions.flatten(2).transpose(1, 2)), dim=1)


class PMViTClassifier(nn.Linear):
    """The image classifier. With `explain_labels`, only those classes are evaluated, each on every token."""

    def forward(self, tokens: torch.Tensor, explain_labels: torch.Tensor | None = None) -> torch.Tensor:
        if explain_labels is None:
            return super().forward(tokens)
        weight, bias = self.weight[explain_labels], self.bias[explain_labels]  # (batch, K, hidden), (batch, K)
        return weight @ tokens.transpose(1, 2) + bias.unsqueeze(-1)  # (batch, K, tokens)


class PMViTForImageClassification(ViTPreTrainedModel):
    """
    [`ViTForImageClassification`] that also predicts, for chosen classes, where they are: its classifier is applied to
    the final patch tokens too. No parameter is added, so the checkpoints of the two are interchangeable.
    """

    config: PMViTConfig
    config_class = PMViTConfig
    _no_split_modules = ["PMViTEmbeddings", "ViTLayer"]

    def __init__(self, config: PMViTConfig):
        if config.num_labels < 1:
            raise ValueError(f"PM-ViT explains classes: num_labels must be at least 1, got {config.num_labels}.")
        super().__init__(config)
        self.loss_type = (
            "ForImageClassification"  # transformers tells it from the class's name, which others may change
        )
        self.num_labels = config.num_labels
        # A plain `ViTModel`: transformers renames the keys of older checkpoints by the name of that class.
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.vit.embeddings = PMViTEmbeddings(config)
        self.classifier = PMViTClassifier(config.hidden_size, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PMViTClassifier):
            # At a patch each class starts with probability 1 / K, and the background with 1 / 2. From logits of 0, the
            # mask loss would first push all K classes down at every patch, and drown the loss of the image's class.
            init.constant_(module.bias, -log(self.num_labels))

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        mask_labels: torch.Tensor | None = None,
        explain_labels: torch.Tensor | int | None = None,
        interpolate_pos_encoding: bool | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> PMViTImageClassifierOutput:
        r"""
        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, channels, height, width)`):
                Any size that the patch size divides.
            labels (`torch.LongTensor` of shape `(batch_size,)`, or `(batch_size, num_labels)` for several, *optional*):
                As in [`ViTForImageClassification`]; `-100`: class unknown.
            mask_labels (`torch.FloatTensor` of shape `(batch_size, K, height / patch, width / patch)`, *optional*):
                The fraction, in [0, 1], of each patch that the mask of each class covers. `-100`: unknown, for a
                single patch, or for a whole class or image that has no mask. Any number of images may have none.
            explain_labels (`torch.LongTensor` of shape `(batch_size, K)` or `int`, *optional*):
                The classes that `mask_labels` holds and that `mask_logits` shall explain: an index per image and slot
                (`-100`: empty slot), or a number k for the k most probable of each image (0: none). By default the
                classes in `labels`, else the most probable one.
            interpolate_pos_encoding (`bool`, *optional*):
                By default the position embedding is interpolated where the image is not of `config.image_size`.
            num_items_in_batch (`int`, *optional*):
                The number of images over which the loss is averaged, where a batch comes in several parts (gradient
                accumulation, several processes). By default the images of this call.

        Raises:
            ValueError: if a shape, a label or a mask value is not as stated above; says what was expected and came.
                NaN and infinity in `pixel_values` are found on a CPU and in training.
        """
        height, width = _check_images(pixel_values, self.config)
        # In an exported graph the size is a symbol: interpolating always is exact, comparing would fix the size.
        if interpolate_pos_encoding is None:
            interpolate_pos_encoding = torch.compiler.is_exporting() or (height, width) != tuple(
                self.vit.embeddings.image_size
            )
        if mask_labels is not None and labels is None:
            raise ValueError("mask_labels came without labels: give the class of each image (-100 where unknown).")
        if labels is not None and not torch.compiler.is_compiling():
            _check_labels(labels, len(pixel_values), self.config)

        outputs = self.vit(
            pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **(kwargs | {"return_dict": True})
        )
        patch_height, patch_width = self.vit.embeddings.patch_embeddings.patch_size
        explained = self.explain_tokens(
            outputs.last_hidden_state,
            (height // patch_height, width // patch_width),
            labels,
            mask_labels,
            explain_labels,
            num_items_in_batch,
        )
        # On an accelerator looking at a value makes the call wait for all work before it: not in inference.
        if (labels is not None or explained.logits.device.type == "cpu") and not torch.compiler.is_compiling():
            _check_finite(pixel_values, explained.logits)
        explained.hidden_states, explained.attentions = outputs.hidden_states, outputs.attentions
        return explained

    def explain_tokens(
        self,
        tokens: torch.Tensor,
        grid: tuple[int, int],
        labels: torch.Tensor | None = None,
        mask_labels: torch.Tensor | None = None,
        explain_labels: torch.Tensor | int | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> PMViTImageClassifierOutput:
        """
        What `forward` does behind the ViT.

        Args:
            tokens: `(batch, 1 + rows * columns, hidden)`, final and layer-normed.
            grid: rows and columns of patches.
            labels, mask_labels, explain_labels, num_items_in_batch: as in `forward`.
        """
        patches = tokens[:, 1:]
        logits = self.image_logits(tokens)

        explain_labels = self._explained_classes(explain_labels, labels, logits)
        mask_logits = None
        if explain_labels.shape[1] > 0:
            empty = explain_labels < 0
            mask_logits = self.classifier(patches, explain_labels.clamp(min=0))  # (batch, K, patches)
            mask_logits = mask_logits.masked_fill(empty.unsqueeze(-1), torch.finfo(mask_logits.dtype).min)
            mask_logits = mask_logits.unflatten(-1, grid)

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
            mask_loss = self._mask_loss(patches, mask_labels.to(patches.device), explain_labels, num_items_in_batch)
            weighted = self.config.mask_loss_weight * mask_loss
            loss = weighted if classification_loss is None else classification_loss + weighted

        return PMViTImageClassifierOutput(
            loss=loss,
            logits=logits,
            mask_logits=mask_logits,
            explain_labels=explain_labels if mask_logits is not None else None,
            classification_loss=classification_loss,
            mask_loss=mask_loss,
        )

    def image_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """`(batch, 1 + patches, hidden)`, final tokens, to the logits of the image, `(batch, num_labels)`."""
        return self.classifier(tokens[:, 0])

    def _explained_classes(
        self, explain_labels: torch.Tensor | int | None, labels: torch.Tensor | None, logits: torch.Tensor
    ) -> torch.Tensor:
        """The classes to explain as a tensor `(batch, K)`."""
        if explain_labels is None:
            if labels is not None and labels.shape == logits.shape[:1] and not labels.is_floating_point():
                return labels.to(logits.device).unsqueeze(1)
            explain_labels = 1
        if isinstance(explain_labels, int):
            if not 0 <= explain_labels <= self.config.num_labels:
                raise ValueError(
                    f"explain_labels, as a number of classes, must lie in 0 ... num_labels = {self.config.num_labels}, "
                    f"got {explain_labels}."
                )
            return logits.topk(explain_labels, dim=-1).indices
        explain_labels = torch.as_tensor(explain_labels, device=logits.device)
        batch_size = logits.shape[0]  # in an exported graph a symbol, which `len` would fix
        if explain_labels.ndim != 2 or explain_labels.shape[0] != batch_size or explain_labels.is_floating_point():
            raise ValueError(
                f"explain_labels must be a number of classes or integer indices of shape (batch, K) with batch = "
                f"{batch_size}, got {explain_labels.dtype} of shape {tuple(explain_labels.shape)}."
            )
        if not torch.compiler.is_compiling():
            _check_range("explain_labels", explain_labels, self.config.num_labels)
        return explain_labels

    def _mask_loss(
        self,
        patches: torch.Tensor,
        mask_labels: torch.Tensor,
        explain_labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """
        Cross-entropy between what the classifier says of a patch and how far each class covers it; mean over the known
        patches of an image, then over all images. Classes that `explain_labels` does not name cover nothing.
        """
        if not torch.compiler.is_compiling():
            _check_mask_values(mask_labels)
        count = len(patches) if num_items_in_batch is None else num_items_in_batch
        mask_labels = mask_labels.flatten(2).float()  # (batch, K, patches)
        known = mask_labels != IGNORE
        present = known.any(-1, keepdim=True) & (explain_labels >= 0).unsqueeze(-1)  # (batch, K, 1): has a mask
        known = (known | ~present).all(1) & present.any(1)  # (batch, patches)
        coverage = torch.where(present, mask_labels.clamp(min=0), 0.0)
        if not torch.compiler.is_compiling():  # few images have masks: only those cost all classes at all patches
            rows = known.any(-1).nonzero().squeeze(-1)
            patches, known, coverage, explain_labels = (x[rows] for x in (patches, known, coverage, explain_labels))

        mask_logits = self.classifier(patches).float()  # (images, patches, num_labels)
        index = explain_labels.clamp(min=0).unsqueeze(1).expand(-1, patches.shape[1], -1)
        explained_logits = mask_logits.gather(-1, index).transpose(1, 2)  # (images, K, patches)
        patch_loss = self.patch_loss(mask_logits, explained_logits, coverage, explain_labels)
        patch_loss = torch.where(known, patch_loss, 0.0)
        image_loss = patch_loss.sum(-1) / known.sum(-1).clamp(min=1)
        return image_loss.sum() / count

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
            mask_logits: `(images, patches, num_labels)`, of all classes.
            explained_logits, coverage: `(images, K, patches)`, of the classes whose masks are known, and how far they
                cover the patch, in [0, 1].
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
    def predict(
        self, pixel_values: torch.Tensor, explain_labels: "int | str | Sequence[int | str] | torch.Tensor" = 1
    ) -> Prediction:
        """
        Scores and masks of preprocessed images, in evaluation mode and without gradients.

        Args:
            pixel_values: `(batch, channels, height, width)`, on any device and of any floating type.
            explain_labels: as in `explain`, or indices `(batch, K)` of the classes of each image.

        Returns:
            What [`PMViTImageProcessor.post_process_explanations`] takes; `mask_logits` on the model's device.
        """
        labels = class_indices(explain_labels, self.config, len(pixel_values))
        was_training = self.training
        try:
            outputs = self.eval()(pixel_values.to(self.device, self.dtype), explain_labels=labels, return_dict=True)
        finally:
            self.train(was_training)
        return Prediction.from_outputs(outputs, self.config)

    def explain(
        self,
        images: "str | Path | Image.Image | np.ndarray | Sequence[Any]",
        explain_labels: int | str | Sequence[int | str] = 1,
        image_processor: PMViTImageProcessor | None = None,
        threshold: float = 0.5,
    ) -> Explanation | list[Explanation]:
        """
        Classify photographs and show where each class is.

        Args:
            images: a path, URL, PIL image or array, or a list of such.
            explain_labels: a number k for the k most probable classes, or classes by name or index, the same for all
                images.
            image_processor: by default the one that lies beside the checkpoint that the model was loaded from.
            threshold: probability from which a pixel belongs to the class, for `masks` and `boxes`.

        Returns:
            For each image (one dictionary for a single image, else a list), at its own size and with K classes:
            `label_ids` (K indices), `labels` (K names), `scores` (K probabilities that the image shows the class),
            `heatmaps` `(K, height, width)` probabilities that the class is at the pixel, `masks` (same shape, boolean)
            and `boxes` `(K, 4)` as xmin, ymin, xmax, ymax in pixels, the ends exclusive.
        """
        if image_processor is None:
            image_processor = PMViTImageProcessor.from_pretrained(self.config._name_or_path)
        single = isinstance(images, (str, Path, Image.Image)) or getattr(images, "ndim", 4) < 4
        given: Any = [images] if single else images
        loaded = [load_image(image) for image in given]
        prediction = self.predict(image_processor(loaded, return_tensors="pt").pixel_values, explain_labels)
        sizes = [(image.height, image.width) for image in loaded]
        explanations = image_processor.post_process_explanations(prediction, sizes, self.config.id2label, threshold)
        return explanations[0] if single else explanations


def softmax_patch_loss(
    mask_logits: torch.Tensor, explained_logits: torch.Tensor, coverage: torch.Tensor
) -> torch.Tensor:
    """A patch is one of the classes or the background, whose logit is 0. Arguments as in `patch_loss`."""
    share = coverage / coverage.sum(1, keepdim=True).clamp(min=1)  # overlapping masks share a patch
    background = mask_logits.new_zeros((*mask_logits.shape[:-1], 1))
    return torch.cat((mask_logits, background), -1).logsumexp(-1) - (explained_logits * share).sum(1)


def sigmoid_patch_loss(
    mask_logits: torch.Tensor, explained_logits: torch.Tensor, coverage: torch.Tensor
) -> torch.Tensor:
    """A patch has each class or not, independently. Arguments as in `patch_loss`."""
    return nn.functional.softplus(mask_logits).sum(-1) - (explained_logits * coverage).sum(1)


def class_indices(
    explain_labels: "int | str | Sequence[int | str] | torch.Tensor", config: PMViTConfig, batch_size: int
) -> int | torch.Tensor:
    """
    Classes as `forward` takes them.

    Args:
        explain_labels: a number of classes or indices `(batch, K)`, returned as they are; or one or several classes by
            name or index, the same for all images.

    Raises:
        ValueError: if the model has no class of a name.
    """
    if isinstance(explain_labels, int):
        return explain_labels
    if isinstance(explain_labels, (torch.Tensor, np.ndarray)) and explain_labels.ndim == 2:
        return explain_labels
    names = [explain_labels] if isinstance(explain_labels, str) else list(explain_labels)
    unknown = [name for name in names if isinstance(name, str) and name not in config.label2id]
    if unknown:
        known = ", ".join(list(config.label2id)[:10])
        raise ValueError(f"the model has no class {unknown[0]!r}; its {config.num_labels} classes begin with: {known}.")
    indices = [config.label2id[name] if isinstance(name, str) else int(name) for name in names]
    return torch.tensor([indices] * batch_size)


def _check_images(pixel_values: torch.Tensor, config: PMViTConfig) -> tuple[int, int]:
    """The images' height and width; raises unless the patch size divides them."""
    expected = f"pixel_values must have the shape (batch, {config.num_channels}, height, width)"
    if pixel_values is None or pixel_values.ndim != 4 or pixel_values.shape[1] != config.num_channels:
        raise ValueError(f"{expected}, got {None if pixel_values is None else tuple(pixel_values.shape)}.")
    height, width = pixel_values.shape[-2:]
    patch = config.patch_size
    patch_height, patch_width = (patch, patch) if isinstance(patch, int) else patch
    if height % patch_height or width % patch_width:
        raise ValueError(f"{expected} with sides that the patch size {patch} divides, got {height} x {width}.")
    return height, width


def _check_finite(pixel_values: torch.Tensor, logits: torch.Tensor) -> None:
    """
    Raises where pixels are NaN or infinite. Such a pixel turns all logits of its image into NaN, so only then are the
    pixels looked at, which would cost as much as a percent of a small model.
    """
    if not isfinite(logits.detach()[:, 0].sum()) and not torch.isfinite(pixel_values).all():
        raise ValueError("pixel_values must be finite, got NaN or infinity.")


def _check_range(name: str, labels: torch.Tensor, num_labels: int) -> None:
    wrong = labels[((labels < 0) & (labels != IGNORE)) | (labels >= num_labels)]
    if len(wrong):
        raise ValueError(f"{name} must lie in 0 ... {num_labels - 1} (or be {IGNORE}), got {wrong[0].item()}.")


def _check_labels(labels: torch.Tensor, batch_size: int, config: PMViTConfig) -> None:
    if labels.shape[:1] != (batch_size,):
        raise ValueError(f"labels must begin with the batch size {batch_size}, got the shape {tuple(labels.shape)}.")
    several = config.problem_type == "multi_label_classification" or (config.problem_type is None and labels.ndim == 2)
    if several and (labels.shape[1:] != (config.num_labels,) or not labels.is_floating_point()):
        raise ValueError(
            f"for several labels an image, labels must be floats of shape (batch, num_labels = {config.num_labels}), "
            f"got {labels.dtype} of shape {tuple(labels.shape)}."
        )
    if not several and not labels.is_floating_point():
        _check_range("labels", labels, config.num_labels)


def _check_mask_values(mask_labels: torch.Tensor) -> None:
    wrong = mask_labels[~(((mask_labels >= 0) & (mask_labels <= 1)) | (mask_labels == IGNORE))]
    if len(wrong):
        raise ValueError(f"mask_labels must lie in [0, 1] (or be {IGNORE}, unknown), got {wrong[0].item()}.")


PMViTForImageClassification.register_for_auto_class("AutoModelForImageClassification")
if "image-explanation" not in PIPELINE_REGISTRY.supported_tasks:
    PIPELINE_REGISTRY.register_pipeline(
        "image-explanation", ImageExplanationPipeline, pt_model=AutoModelForImageClassification, type="image"
    )

__all__ = ["PMViTForImageClassification", "PMViTImageClassifierOutput", "class_indices"]
