"""Smoothed and mixed labels. The loss itself belongs to the model: see `loss_pm_vit.py`."""

import torch
from torch import nn

from ..explanation_pm_vit import IGNORE


def mixed_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    other_labels: torch.Tensor | None = None,
    shares: torch.Tensor | None = None,
    smoothing: float = 0.0,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    The sum over the images of `shares` times the cross-entropy with `labels` plus the rest times that with
    `other_labels`, each with label smoothing (Szegedy et al., CVPR 2016).

    Args:
        logits: `(batch, num_labels)`.
        labels, other_labels: `(batch,)`; an image with label -100 is excluded.
        shares: `(batch,)`, in [0, 1].
        class_weights: `(num_labels,)`, of the entropy with a label of each class.
    """

    def entropy(target: torch.Tensor) -> torch.Tensor:
        entropies = nn.functional.cross_entropy(
            logits.float(), target, ignore_index=IGNORE, reduction="none", label_smoothing=smoothing
        )
        if class_weights is None:
            return entropies
        return entropies * class_weights.to(logits.device)[target.clamp(min=0)]

    if other_labels is None or shares is None:
        return entropy(labels).sum()
    return (shares * entropy(labels) + (1 - shares) * entropy(other_labels)).sum()


def weighted_binary_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, class_weights: torch.Tensor
) -> torch.Tensor:
    """
    The sum of the binary cross-entropies of all known labels.

    Args:
        logits: `(batch, num_labels)`.
        labels: same shape, in [0, 1]; -100: unknown.
        class_weights: `(num_labels,)`, of the part of an entropy that says 'present'.
    """
    entropies = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), labels.float(), reduction="none", pos_weight=class_weights.to(logits.device)
    )
    return torch.where(labels != IGNORE, entropies, 0.0).sum()


def smoothed_labels(labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """
    Label smoothing where each class is present or absent on its own: 1 becomes `1 - smoothing / 2`, 0 `smoothing / 2`.

    Args:
        labels: `(batch, num_labels)`, in [0, 1]; -100, unknown, stays.
    """
    return torch.where(labels == IGNORE, labels, labels * (1 - smoothing) + smoothing / 2)
