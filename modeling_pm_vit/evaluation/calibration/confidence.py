"""Which score tells best when a model does not know, and from which value on it should be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...confidence_pm_vit import CONFIDENCE_SCORES, NAMED, SEEN, seen_probabilities
from ...distance_pm_vit import FeatureDistance
from ...metrics.unknown import (
    auroc,
    auroc_interval,
    threshold_for_coverage,
    threshold_for_precision,
)
from ...utils.errors import InputError
from .answers import Answers, Outputs

WRONG = "wrong answers"
_AT_ONCE = 16  # images whose distances to the references are computed at once


@dataclass(frozen=True)
class Said:
    """Scores of n images by name, each `(n,)`, and whether a class is named but seen nowhere, `(n,)` boolean."""

    scores: dict[str, np.ndarray]
    seen_nowhere: np.ndarray


@dataclass(frozen=True)
class Confidence:
    """
    How well scores tell known images from others.

    Args:
        auroc: by score and set of images, the area and its 95 % interval. The set `"wrong answers"` is compared with
            the right ones, every other set with all images of the split.
        score, threshold: that are stored, or are to be.
        coverage, precision: the fraction of the images of the split that reach the threshold, and the fraction of these
            that is right.
        refused, seen_nowhere: of right answers and of each set, the fraction below the threshold, and the fraction with
            a class that is named but seen nowhere.
    """

    auroc: dict[str, dict[str, tuple[float, float, float]]]
    score: str
    threshold: float
    coverage: float
    precision: float
    refused: dict[str, float]
    seen_nowhere: dict[str, float]


def scores_of(
    outputs: Outputs,
    class_temperature: float,
    map_temperature: float,
    empty_classes: list[int],
    distances: Sequence[FeatureDistance] = (),
) -> Said:
    """The scores of `CONFIDENCE_SCORES`, and those of the `distances`."""
    logits = torch.from_numpy(outputs.logits).float()
    probabilities = (logits / class_temperature).softmax(-1)
    named, top = probabilities.max(-1)
    on_patches = (torch.from_numpy(outputs.top_map_logits).float() / map_temperature).sigmoid()
    seen = seen_probabilities(top.numpy(), on_patches.numpy(), empty_classes)
    given = (probabilities.numpy(), logits.numpy(), seen)
    scores = {name: score(*given) for name, score in CONFIDENCE_SCORES.items()}
    features = torch.from_numpy(outputs.features).float()
    for distance in distances:
        scores[distance.score] = -torch.cat([distance(part) for part in features.split(_AT_ONCE)]).numpy()
    return Said(scores, (named.numpy() >= NAMED) & (seen < SEEN))


def empty_classes_of(answers: Answers) -> list[int]:
    """
    The classes of which nothing is to be seen: on more than half of their images that the model gets right, no patch
    has a probability of one half (at any temperature), and no mask shows an object of it.
    """
    right = answers.right
    unseen = answers.top_map_logits < 0
    with_object = answers.labels[(np.nan_to_num(answers.coverage) > 0).any((1, 2))]
    classes = np.setdiff1d(answers.labels[right], with_object)
    return [int(label) for label in classes if unseen[right & (answers.labels == label)].mean() > 0.5]


def measure_confidence(
    answers: Answers,
    known: Said,
    unknown: Mapping[str, Said],
    score: str | None = None,
    threshold: float | None = None,
    coverage: float | None = None,
    precision: float | None = None,
) -> Confidence:
    """
    Args:
        answers, known: of the images of the split.
        unknown: of other sets of images.
        score: one of `known`; by default the one with the highest mean area over the sets.
        threshold: a stored one; by default that of the wanted coverage or precision.

    Raises:
        InputError: if no threshold gives the precision.
    """
    right = answers.right
    areas: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name, values in known.scores.items():
        pairs = {WRONG: (values[right], values[~right])} | {
            source: (values, said.scores[name]) for source, said in unknown.items()
        }
        areas[name] = {source: (auroc(*pair), *auroc_interval(*pair)) for source, pair in pairs.items()}
    score = score or max(areas, key=lambda name: _mean(areas[name]))
    values = known.scores[score]
    if threshold is None and precision is not None:
        threshold = threshold_for_precision(values, right, precision)
        if np.isnan(threshold):
            half = right[np.argsort(-values)[: max(1, len(right) // 2)]]
            raise InputError(
                f"--precision {precision}: no threshold of {score} reaches it; of the half of the images with the "
                f"highest values {100 * half.mean():.1f} % are classified right."
            )
    elif threshold is None:
        assert coverage is not None
        threshold = threshold_for_coverage(values, coverage)
    answered = values >= threshold
    sets = {"right answers": (values[right], known.seen_nowhere[right])}
    sets |= {WRONG: (values[~right], known.seen_nowhere[~right])}
    sets |= {source: (said.scores[score], said.seen_nowhere) for source, said in unknown.items()}
    sets = {source: pair for source, pair in sets.items() if len(pair[0])}
    return Confidence(
        areas,
        score,
        float(threshold),
        float(answered.mean()),
        float(right[answered].mean()) if answered.any() else float("nan"),
        {source: float((own < threshold).mean()) for source, (own, _) in sets.items()},
        {source: float(unseen.mean()) for source, (_, unseen) in sets.items()},
    )


def as_json(found: Confidence) -> dict[str, Any]:
    """All values, with `None` for an area that is not known."""
    areas = {
        name: {source: None if np.isnan(area[0]) else list(area) for source, area in sets.items()}
        for name, sets in found.auroc.items()
    }
    return vars(found) | {"auroc": areas}


def _mean(areas: Mapping[str, tuple[float, float, float]]) -> float:
    known = [area for area, _, _ in areas.values() if not np.isnan(area)]
    return float(np.mean(known)) if known else 0.0
