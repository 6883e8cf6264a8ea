"""Predictions of PM-ViT for a batch of images, and the classes that a user asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedConfig

from .confidence_pm_vit import DOUBTS, confidence_of

IGNORE = -100  # in `labels`, `explain_labels` and `mask_labels`: unknown, excluded from the loss


@dataclass
class Prediction:
    """
    Predictions for a batch of images and K classes of each image, at the resolution of the patches.

    Args:
        explain_labels: `(batch, K)`, indices of the explained classes, on the CPU. `-100`: an empty slot.
        scores: `(batch, K)`, the probabilities that the image shows these classes, float32 on the CPU.
        mask_logits: `(batch, K, height / patch, width / patch)`, divided by the temperature of the maps; their sigmoid
            is the probability of the class at the patch.
        confidence: `(batch,)`, how sure the model is of the image as a whole, float32 on the CPU; see
            [`confidence_of`].
        doubt: `(batch,)`, whether it should not be believed: numbers in `DOUBTS`. Both are `None` if only maps are
            known.
    """

    explain_labels: torch.Tensor
    scores: torch.Tensor
    mask_logits: torch.Tensor
    confidence: torch.Tensor | None = None
    doubt: torch.Tensor | None = None

    @classmethod
    def from_outputs(cls, outputs: Any, config: PreTrainedConfig) -> "Prediction":
        """
        From the `logits`, `mask_logits` and `explain_labels` of a model, and its configuration, whose temperatures are
        applied here.
        """
        if outputs.mask_logits is None:
            raise ValueError("the outputs have no mask_logits: call the model with explain_labels of at least 1.")
        explain_labels = outputs.explain_labels.cpu()
        probabilities = class_probabilities(outputs.logits, config)
        scores = probabilities.gather(1, explain_labels.clamp(min=0))
        mask_logits = at_temperature(outputs.mask_logits.detach(), getattr(config, "map_temperature", 1.0))
        if outputs.top_mask_logits is None:
            return cls(explain_labels, scores, mask_logits)
        seen = map_probabilities(outputs.top_mask_logits.detach().float().cpu(), config)
        logits = outputs.logits.detach().float().cpu()
        distance = outputs.feature_distance
        distance = None if distance is None else distance.detach().float().cpu().numpy()
        found = confidence_of(probabilities.numpy(), logits.numpy(), seen.numpy(), config, distance)
        return cls(explain_labels, scores, mask_logits, *map(torch.from_numpy, found))

    def __getitem__(self, index: int | slice | tuple[int, int]) -> "Prediction":
        """`[row]`: one image, as a batch of one; `[row, slot]`: one image and one of its classes; `[:n]`: n images."""
        parts = index if isinstance(index, tuple) else (index, slice(None))
        rows, slots = (slice(part, part + 1) if isinstance(part, int) else part for part in parts)
        of_classes = (self.explain_labels[rows, slots], self.scores[rows, slots], self.mask_logits[rows, slots])
        of_images = (None if values is None else values[rows] for values in (self.confidence, self.doubt))
        return Prediction(*of_classes, *of_images)

    def of_classes(self, classes: int | Sequence[int]) -> "Prediction":
        """
        Some classes of a prediction of all classes, in their order; of the image as a whole it says the same.

        Args:
            classes: a number of classes, those of the highest scores of each image first, or their indices.
        """
        if isinstance(classes, int):
            chosen = self.scores.topk(classes).indices
        else:
            chosen = torch.tensor(classes).expand(len(self.scores), -1)
        rows = torch.arange(len(chosen)).unsqueeze(1)
        scores, mask_logits = self.scores.gather(1, chosen), self.mask_logits[rows, chosen]
        return replace(self, explain_labels=chosen, scores=scores, mask_logits=mask_logits)

    def doubts(self) -> list[str | None]:
        """The doubt of each image in a word, `None` if there is none."""
        return [None] * len(self.scores) if self.doubt is None else [DOUBTS[number] for number in self.doubt.tolist()]


def rows_of_one_shape(tensors: Mapping[int, torch.Tensor]) -> list[list[int]]:
    """The numbers of the tensors, those of one shape together, so that they can be a batch."""
    rows: dict[Any, list[int]] = {}
    for row, tensor in tensors.items():
        rows.setdefault(tensor.shape, []).append(row)
    return list(rows.values())


def class_probabilities(logits: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """
    Probabilities that an image shows the classes: a softmax, or a sigmoid for multi-label models and a single class, of
    the logits divided by `config.class_temperature` (Guo et al., *On calibration of modern neural networks*, 2017).

    Raises:
        ValueError: if the outputs of the model are no classes.
    """
    if config.problem_type == "regression":
        raise ValueError(
            "problem_type is 'regression', whose outputs are no probabilities of classes; set "
            "'multi_label_classification' in config.json if they are logits of classes."
        )
    multi_label = config.problem_type == "multi_label_classification" or config.num_labels == 1
    logits = at_temperature(logits.detach().float().cpu(), getattr(config, "class_temperature", 1.0))
    return logits.sigmoid() if multi_label else logits.softmax(-1)


def map_probabilities(mask_logits: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """
    Probabilities that the classes are at the patches: the sigmoid of the `mask_logits` of a model's outputs, divided by
    `config.map_temperature`. Those of a [`Prediction`] are divided already.
    """
    return at_temperature(mask_logits, getattr(config, "map_temperature", 1.0)).sigmoid()


def at_temperature(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits divided by a temperature, in float32; as they are if it is 1."""
    return logits if temperature == 1 else logits.float() / temperature


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


__all__ = [
    "IGNORE",
    "Prediction",
    "at_temperature",
    "class_indices",
    "class_probabilities",
    "map_probabilities",
    "rows_of_one_shape",
]
