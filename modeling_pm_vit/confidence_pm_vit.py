"""
How sure a model is of an image as a whole, from its outputs alone, and when it should say that it does not know.

Needs numpy alone, so that a server without torch gives the same answers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# What the answer of a calibrated model can be marked with, by number: nothing; the confidence is below the threshold
# that is stored with the model; a class is named with a probability of at least one half, but is on no patch with as
# much, although it has an object.
DOUBTS = (None, "unsure", "seen nowhere")
DOUBT_TEXTS = {
    "unsure": "The model does not know: its confidence is below the threshold that was stored with it.",
    "seen nowhere": "Doubtful: a class is named, but seen nowhere in the image.",
}
NAMED = SEEN = 0.5


def _max_probability(probabilities: np.ndarray, logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return probabilities.max(-1)


def _certainty(probabilities: np.ndarray, logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    shares = probabilities / probabilities.sum(-1, keepdims=True)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1)
    return 1 - entropy / np.float32(np.log(max(2, probabilities.shape[-1])))


def _energy(probabilities: np.ndarray, logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    highest = logits.max(-1, keepdims=True)
    return (highest + np.log(np.exp(logits - highest).sum(-1, keepdims=True)))[..., 0]


def _seen(probabilities: np.ndarray, logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return seen


def _named_and_seen(probabilities: np.ndarray, logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return probabilities.max(-1) * seen


# By the name in `config.confidence_score`. All are higher for an image that the model is sure of:
# - max_probability: the probability of the most probable class (Hendrycks and Gimpel, 2017);
# - certainty: 1 - entropy of the probabilities / its largest value;
# - energy: the log-sum-exp of the logits, without a temperature (Liu et al., 2020);
# - seen: the highest probability of the most probable class on a patch, 1 for a class without an object;
# - named_and_seen: max_probability * seen.
CONFIDENCE_SCORES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "max_probability": _max_probability,
    "certainty": _certainty,
    "energy": _energy,
    "seen": _seen,
    "named_and_seen": _named_and_seen,
}

# Scores that need more than these outputs: minus the distance of `FeatureDistance`.
DISTANCE_SCORES = ("mahalanobis", "nearest_neighbours")


def confidence_of(
    probabilities: np.ndarray,
    logits: np.ndarray,
    top_map_probabilities: np.ndarray,
    config: Any,
    distance: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Args:
        probabilities, logits: `(batch, num_labels)`, of the images, float32; logits without a temperature.
        top_map_probabilities: `(batch,)`, the highest probability of the most probable class on a patch.
        config: of the model: its `confidence_score`, `confidence_threshold` and `empty_classes`.
        distance: `(batch,)`, of the features of the images, where the score is one of `DISTANCE_SCORES`.

    Returns:
        The confidence `(batch,)` of each image, and its doubt, `(batch,)` numbers in `DOUBTS`: 0 without a threshold.

    Raises:
        ValueError: if the score needs a distance and there is none.
    """
    named, top = probabilities.max(-1), probabilities.argmax(-1)
    seen = seen_probabilities(top, top_map_probabilities, empty_class_indices(config))
    score = getattr(config, "confidence_score", "max_probability")
    if score not in DISTANCE_SCORES:
        confidence = CONFIDENCE_SCORES[score](probabilities, logits, seen)
    elif distance is not None:
        confidence = -distance
    else:
        raise ValueError(f"the confidence is the score {score}, but the outputs have no distance of the features.")
    doubt = np.zeros(len(probabilities), np.int64)
    threshold = getattr(config, "confidence_threshold", None)
    if threshold is not None:
        doubt[(named >= NAMED) & (seen < SEEN)] = DOUBTS.index("seen nowhere")
        doubt[confidence < threshold] = DOUBTS.index("unsure")
    return confidence, doubt


def graph_outputs(config: Any) -> list[str]:
    """The outputs of an exported graph that the answer needs, in the order of [`confidence_of`] after the maps."""
    needs_distance = getattr(config, "confidence_score", None) in DISTANCE_SCORES
    return ["logits", "scores", "masks", *(["distance"] if needs_distance else [])]


def seen_probabilities(top: np.ndarray, top_map_probabilities: np.ndarray, empty_classes: Sequence[int]) -> np.ndarray:
    """The highest probability of the class `top` `(batch,)` on a patch; 1 for a class without an object."""
    return np.where(np.isin(top, list(empty_classes)), np.float32(1), top_map_probabilities)


def empty_class_indices(config: Any) -> list[int]:
    """The classes without an object, by index."""
    names = getattr(config, "empty_classes", None) or ()
    return [index for index, name in config.id2label.items() if name in names]


__all__ = [
    "CONFIDENCE_SCORES",
    "DISTANCE_SCORES",
    "DOUBTS",
    "DOUBT_TEXTS",
    "confidence_of",
    "empty_class_indices",
    "graph_outputs",
    "seen_probabilities",
]
