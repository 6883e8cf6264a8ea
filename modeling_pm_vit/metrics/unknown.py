"""
How well a score tells images that a classifier gets right from those that it gets wrong or cannot know.

All scores are higher for images like those of the training.
"""

import numpy as np


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """
    The probability that an image of `known` `(n,)` has a higher score than one of `unknown` `(m,)`, ties by halves: the
    area under the receiver operating characteristic. NaN if there is none of a kind.
    """
    known, unknown = np.sort(np.asarray(known, np.float64)), np.asarray(unknown, np.float64)
    if not len(known) or not len(unknown):
        return float("nan")
    below, up_to = (np.searchsorted(known, unknown, side).astype(float) for side in ("left", "right"))
    return float(1 - (below + up_to).mean() / (2 * len(known)))


def auroc_interval(
    known: np.ndarray, unknown: np.ndarray, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """A percentile bootstrap interval of [`auroc`], over the images of both kinds."""
    known, unknown = np.asarray(known), np.asarray(unknown)
    if not len(known) or not len(unknown):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    found = [
        auroc(known[rng.integers(len(known), size=len(known))], unknown[rng.integers(len(unknown), size=len(unknown))])
        for _ in range(resamples)
    ]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def threshold_for_coverage(scores: np.ndarray, coverage: float) -> float:
    """The largest threshold that at least the fraction `coverage` of the scores `(n,)` reaches."""
    scores = np.sort(np.asarray(scores, np.float64))[::-1]
    return float(scores[max(0, int(np.ceil(coverage * len(scores) - 1e-9)) - 1)])


def threshold_for_precision(scores: np.ndarray, right: np.ndarray, precision: float) -> float:
    """
    The smallest threshold from which at least the fraction `precision` of the answers is right.

    Args:
        scores: `(n,)`.
        right: `(n,)` boolean: whether the answer is right.

    Returns:
        NaN if no threshold gives this precision.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    ranked = np.asarray(scores, np.float64)[order]
    precisions = np.cumsum(np.asarray(right, np.float64)[order]) / np.arange(1, len(ranked) + 1)
    ends = np.append(ranked[1:] != ranked[:-1], True)  # images of equal score are answered together
    enough = np.flatnonzero(ends & (precisions >= precision - 1e-12))
    return float(ranked[enough[-1]]) if len(enough) else float("nan")
