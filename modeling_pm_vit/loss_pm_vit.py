"""The terms of the loss: of the classes of an image, and of the classes of a patch."""

from typing import Any

import torch
from torch import nn

from .configuration_pm_vit import PMViTConfig
from .explanation_pm_vit import IGNORE


def has_binary_labels(config: PMViTConfig, labels: torch.Tensor) -> bool:
    """
    Whether each class is present or absent on its own: with several labels per image, and with a single class. The
    labels decide where `config.problem_type` does not, as in [`ViTForImageClassification`].
    """
    if config.num_labels == 1 or config.problem_type is not None:
        return config.num_labels == 1 or config.problem_type == "multi_label_classification"
    return labels.ndim == 2 or labels.is_floating_point()


def image_classification_loss(
    labels: torch.Tensor,
    logits: torch.Tensor,
    config: PMViTConfig,
    num_items_in_batch: torch.Tensor | int | None = None,
    **kwargs: Any,
) -> torch.Tensor:
    """
    Cross-entropy over the classes, or binary cross-entropy of each class (see [`has_binary_labels`]); mean over the
    known labels. 0 where no label is known. Sets `config.problem_type` if it is not set, so that the scores of the
    saved model are read as it was trained.

    Args:
        labels: `(batch,)`, indices of classes; or `(batch, num_labels)`, also `(batch,)` for a single class: the
            probability, 0 or 1 as a rule, that the class is present. `-100`: unknown, for an image or for one class of
            it.
        logits: `(batch, num_labels)`.
        num_items_in_batch: as in [`PMViTForImageClassification`].
    """
    labels = labels.to(logits.device)
    known = labels != IGNORE
    binary = has_binary_labels(config, labels)
    if binary:
        labels, known = labels.view_as(logits), known.view_as(logits)
        targets = torch.where(known, labels, 0).to(logits.dtype)
        losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        loss = torch.where(known, losses, 0.0).sum()
    else:
        loss = nn.functional.cross_entropy(logits, labels.view(-1), ignore_index=IGNORE, reduction="sum")
    if config.problem_type is None:
        config.problem_type = "multi_label_classification" if binary else "single_label_classification"
    # A number on the CPU stays there: copying it to an accelerator would wait for all earlier work.
    count = torch.as_tensor(known.sum() if num_items_in_batch is None else num_items_in_batch)
    return loss / torch.where(count > 0, count, 1)


def number_of_images(
    num_items_in_batch: torch.Tensor | int | None, labels: torch.Tensor, config: PMViTConfig
) -> torch.Tensor | int:
    """
    The number of images over which the mask loss is averaged: all of this call, or those whose labels
    `num_items_in_batch` counts. If it counts none, those of this call.
    """
    if num_items_in_batch is None:
        return len(labels)
    per_image = config.num_labels if has_binary_labels(config, labels) else 1
    images = torch.as_tensor(num_items_in_batch) / per_image
    return torch.where(images > 0, images, len(labels))


def softmax_patch_loss(
    mask_logits: torch.Tensor, explained_logits: torch.Tensor, coverage: torch.Tensor
) -> torch.Tensor:
    """
    A patch has one of the classes or is background, with logit 0. Arguments as in
    [`PMViTForImageClassification.patch_loss`].
    """
    share = coverage / coverage.sum(1, keepdim=True).clamp(min=1)  # overlapping masks share a patch
    background = mask_logits.new_zeros((*mask_logits.shape[:-1], 1))
    return torch.cat((mask_logits, background), -1).logsumexp(-1) - (explained_logits * share).sum(1)


def sigmoid_patch_loss(
    mask_logits: torch.Tensor, explained_logits: torch.Tensor, coverage: torch.Tensor
) -> torch.Tensor:
    """The classes of a patch are independent. Arguments as in [`PMViTForImageClassification.patch_loss`]."""
    return nn.functional.softplus(mask_logits).sum(-1) - (explained_logits * coverage).sum(1)


__all__ = ["image_classification_loss", "sigmoid_patch_loss", "softmax_patch_loss"]
