"""Predictions of PM-ViT and explanations of images: the classes, where they are, and which are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, TypedDict

import numpy as np
import torch
from transformers import PreTrainedConfig

IGNORE = -100  # in `labels`, `explain_labels` and `mask_labels`: unknown, excluded from the loss
Box = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels, ends exclusive


@dataclass
class Prediction:
    """
    Predictions for a batch of images and K classes of each image, at the resolution of the patches.

    Args:
        explain_labels: `(batch, K)`, indices of the explained classes, on the CPU. `-100`: an empty slot.
        scores: `(batch, K)`, the probabilities that the image shows these classes, float32 on the CPU.
        mask_logits: `(batch, K, height / patch, width / patch)`; their sigmoid is the probability of the class at the
            patch.
    """

    explain_labels: torch.Tensor
    scores: torch.Tensor
    mask_logits: torch.Tensor

    @classmethod
    def from_outputs(cls, outputs: Any, config: PreTrainedConfig) -> "Prediction":
        """From the `logits`, `mask_logits` and `explain_labels` of a model, and its configuration."""
        if outputs.mask_logits is None:
            raise ValueError("the outputs have no mask_logits: call the model with explain_labels of at least 1.")
        explain_labels = outputs.explain_labels.cpu()
        scores = class_probabilities(outputs.logits, config).gather(1, explain_labels.clamp(min=0))
        return cls(explain_labels, scores, outputs.mask_logits.detach())

    def __getitem__(self, index: int | slice | tuple[int, int]) -> "Prediction":
        """`[row]`: one image, as a batch of one; `[row, slot]`: one image and one of its classes; `[:n]`: n images."""
        parts = index if isinstance(index, tuple) else (index, slice(None))
        rows, slots = (slice(part, part + 1) if isinstance(part, int) else part for part in parts)
        return Prediction(self.explain_labels[rows, slots], self.scores[rows, slots], self.mask_logits[rows, slots])


class Explanation(TypedDict):
    """The explanation of one image, for K classes."""

    label_ids: torch.Tensor
    """`(K,)`, indices of the classes."""
    labels: list[str]
    """K names."""
    scores: torch.Tensor
    """`(K,)`, the probabilities that the image shows the classes."""
    heatmaps: torch.Tensor
    """`(K, height, width)`, the probabilities that the classes are at the pixel."""
    masks: torch.Tensor
    """`(K, height, width)`, boolean: the probability is at least the threshold."""
    boxes: list[Box | None]
    """K of xmin, ymin, xmax, ymax in pixels, ends exclusive, around the largest part of the mask; `None`: no mask."""


def class_probabilities(logits: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """
    Probabilities that an image shows the classes: a softmax, or a sigmoid for multi-label models and a single class.

    Raises:
        ValueError: if the outputs of the model are no classes.
    """
    if config.problem_type == "regression":
        raise ValueError(
            "problem_type is 'regression', whose outputs are no probabilities of classes; set "
            "'multi_label_classification' in config.json if they are logits of classes."
        )
    multi_label = config.problem_type == "multi_label_classification" or config.num_labels == 1
    logits = logits.detach().float().cpu()
    return logits.sigmoid() if multi_label else logits.softmax(-1)


def class_indices(labels: str | Sequence[int | str] | None, top_k: int | None, config: Any) -> int | list[int]:
    """
    The classes that a user asks for, in the form that `predict` takes: a number of classes, or their indices.

    Args:
        labels: one class by name, or several by name or index, probable or not.
        top_k: instead of `labels`, a number of classes, the most probable first; more than there are: all. Default: 1.
        config: of the model.

    Raises:
        ValueError: if both are given, `top_k` is below 1, or the model does not have a class.

    Example:
        >>> config = PreTrainedConfig(id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1})
        >>> class_indices(["dog", 0], None, config), class_indices(None, 9, config)
        ([1, 0], 2)
    """
    if labels is None:
        top_k = 1 if top_k is None else top_k
        if isinstance(top_k, bool) or not hasattr(top_k, "__index__") or index(top_k) < 1:
            raise ValueError(f"top_k must be a number of classes, an integer of at least 1, got {top_k!r}.")
        return min(index(top_k), int(config.num_labels))
    if top_k is not None:
        raise ValueError("give labels or top_k, not both.")
    if isinstance(labels, (int, np.integer)):
        raise ValueError(
            f"labels must be a class name or a list of names or indices, got {labels}: for the {labels} most probable "
            f"classes give top_k={labels}, for the class with this index labels=[{labels}]."
        )
    chosen = [_class_index(label, config) for label in ([labels] if isinstance(labels, str) else labels)]
    if not chosen:
        raise ValueError("labels must name at least one class, got an empty list.")
    return chosen


def _class_index(label: int | str, config: Any) -> int:
    if isinstance(label, str):
        if label not in config.label2id:
            known = ", ".join(map(str, list(config.label2id)[:10]))
            raise ValueError(
                f"the model has no class {label[:80]!r}; its {config.num_labels} classes begin with: {known}."
            )
        return int(config.label2id[label])
    if isinstance(label, bool) or not hasattr(label, "__index__") or not 0 <= index(label) < config.num_labels:
        raise ValueError(f"a class is a name or an index in 0 ... {config.num_labels - 1}, got {label!r}.")
    return index(label)


def largest_box(mask: np.ndarray) -> Box | None:
    """
    The box around the largest connected part of a boolean mask (by area, 8-connectivity).

    Returns xmin, ymin, xmax, ymax, ends exclusive; `None` for an empty mask.

    Example:
        >>> mask = np.zeros((6, 8), bool)
        >>> mask[1:3, 2:7] = True  # the largest part
        >>> mask[5, 0] = True
        >>> largest_box(mask)
        (2, 1, 7, 3)
    """
    if mask.shape[0] > mask.shape[1]:  # fewer and longer rows, so fewer runs
        box = largest_box(mask.T)
        return box and (box[1], box[0], box[3], box[2])
    # Runs of set pixels along rows, each from `begin` to `end`, which count pixels through rows with a margin. Two runs
    # of neighbouring rows touch if one, moved by a row, begins at the latest where the other ends.
    width = mask.shape[1] + 2
    changes = np.flatnonzero(np.diff(np.pad(mask, ((0, 0), (1, 1))).ravel())) + 1
    begin, end = changes[0::2], changes[1::2]
    if not len(begin):
        return None
    first = np.searchsorted(end, begin - width)
    counts = np.searchsorted(begin, end - width, side="right") - first
    below = np.repeat(np.arange(len(begin)), counts)
    above = np.arange(len(below)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    part = _connected(len(begin), above, below)
    run = part == np.bincount(part, weights=end - begin).argmax()
    rows = begin[run] // width
    left, right = begin[run] - rows * width - 1, end[run] - rows * width - 1
    return int(left.min()), int(rows[0]), int(right.max()), int(rows[-1]) + 1


def _connected(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """
    The number of the part `(count,)` that each node belongs to, in a graph with edges from nodes `one` to `other`.

    In each round the nodes that have a neighbour with a smaller number join it; or with a larger number, if those are
    more. At least half of the nodes that have neighbours join, so all rounds take little longer than the first.
    """
    part = np.arange(count)
    while len(one):
        nodes = np.arange(count)
        low, high = np.minimum(one, other), np.maximum(one, other)
        with_smaller, with_larger = np.zeros(count, bool), np.zeros(count, bool)
        with_smaller[high] = with_larger[low] = True
        joined = nodes.copy()
        if with_smaller.sum() >= with_larger.sum():
            joined[high] = low
        else:
            joined[low] = high
        while not np.array_equal(joined, further := joined[joined]):
            joined = further
        number = np.cumsum(joined == nodes) - 1  # of those that are left
        joined, count = number[joined], int(number[-1]) + 1
        part, one, other = joined[part], joined[one], joined[other]
        one, other = one[one != other], other[one != other]
    return part


__all__ = ["IGNORE", "Box", "Explanation", "Prediction", "class_indices", "class_probabilities", "largest_box"]
