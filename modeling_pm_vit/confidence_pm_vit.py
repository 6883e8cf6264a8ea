"""How sure a model is of an image as a whole, from its outputs alone, and when it should say that it does not know."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedConfig

# What the answer of a calibrated model can be marked with, by number: nothing; the confidence is below the threshold
# that is stored with the model; a class is named with a probability of at least one half, but is on no patch with as
# much, although it has an object.
DOUBTS = (None, "unsure", "seen nowhere")
DOUBT_TEXTS = {
    "unsure": "The model does not know: its confidence is below the threshold that was stored with it.",
    "seen nowhere": "Doubtful: a class is named, but seen nowhere in the image.",
}
NAMED = SEEN = 0.5


def _max_probability(probabilities: torch.Tensor, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    return probabilities.amax(-1)


def _certainty(probabilities: torch.Tensor, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    shares = probabilities / probabilities.sum(-1, keepdim=True)
    entropy = -torch.xlogy(shares, shares).sum(-1)
    return 1 - entropy / torch.tensor(float(max(2, probabilities.shape[-1]))).log()


def _energy(probabilities: torch.Tensor, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    return logits.logsumexp(-1)


def _seen(probabilities: torch.Tensor, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    return seen


def _named_and_seen(probabilities: torch.Tensor, logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    return probabilities.amax(-1) * seen


# By the name in `config.confidence_score`. All are higher for an image that the model is sure of:
# - max_probability: the probability of the most probable class (Hendrycks and Gimpel, 2017);
# - certainty: 1 - entropy of the probabilities / its largest value;
# - energy: the log-sum-exp of the logits, without a temperature (Liu et al., 2020);
# - seen: the highest probability of the most probable class on a patch, 1 for a class without an object;
# - named_and_seen: max_probability * seen.
CONFIDENCE_SCORES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "max_probability": _max_probability,
    "certainty": _certainty,
    "energy": _energy,
    "seen": _seen,
    "named_and_seen": _named_and_seen,
}


def confidence_of(
    probabilities: torch.Tensor, logits: torch.Tensor, top_map_probabilities: torch.Tensor, config: PreTrainedConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        probabilities, logits: `(batch, num_labels)`, of the images, float32 on the CPU; logits without a temperature.
        top_map_probabilities: `(batch,)`, the highest probability of the most probable class on a patch.
        config: of the model: its `confidence_score`, `confidence_threshold` and `empty_classes`.

    Returns:
        The confidence `(batch,)` of each image, and its doubt, `(batch,)` numbers in `DOUBTS`: 0 without a threshold.
    """
    named, top = probabilities.max(-1)
    seen = seen_probabilities(top, top_map_probabilities, empty_class_indices(config))
    confidence = CONFIDENCE_SCORES[getattr(config, "confidence_score", "max_probability")](probabilities, logits, seen)
    doubt = torch.zeros(len(probabilities), dtype=torch.long)
    threshold = getattr(config, "confidence_threshold", None)
    if threshold is not None:
        doubt[(named >= NAMED) & (seen < SEEN)] = DOUBTS.index("seen nowhere")
        doubt[confidence < threshold] = DOUBTS.index("unsure")
    return confidence, doubt


def seen_probabilities(
    top: torch.Tensor, top_map_probabilities: torch.Tensor, empty_classes: Sequence[int]
) -> torch.Tensor:
    """The highest probability of the class `top` `(batch,)` on a patch; 1 for a class without an object."""
    is_empty = torch.isin(top, torch.tensor(list(empty_classes), dtype=top.dtype))
    return torch.where(is_empty, torch.ones_like(top_map_probabilities), top_map_probabilities)


def empty_class_indices(config: Any) -> list[int]:
    """The classes without an object, by index."""
    names = getattr(config, "empty_classes", None) or ()
    return [index for index, name in config.id2label.items() if name in names]


__all__ = ["CONFIDENCE_SCORES", "DOUBTS", "DOUBT_TEXTS", "confidence_of", "empty_class_indices", "seen_probabilities"]
