"""Expected calibration error over bins of equal width, from sums that add up over images."""

import numpy as np

from .metric import weighted_sum

BINS = 15
_EDGES = np.arange(1, BINS) / BINS


def bin_sums(probabilities: np.ndarray, outcomes: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """
    Args:
        probabilities: `(n, values)` in [0, 1]. Bins are closed on the right, the first on both sides.
        outcomes: same shape, 1 where the prediction is true.
        known: same shape, boolean: which values are counted (default all).

    Returns:
        `(n, 15, 3)`: for each image and bin the number of values, the sum of the probabilities, the sum of the
        outcomes.

    Raises:
        ValueError: if a counted value is outside [0, 1].
    """
    probabilities, outcomes = np.asarray(probabilities, np.float64), np.asarray(outcomes, np.float64)
    known = np.ones(probabilities.shape, bool) if known is None else np.asarray(known, bool)
    counted = probabilities[known]
    if counted.size and not (counted.min() >= 0 and counted.max() <= 1):
        raise ValueError(f"expected probabilities in [0, 1], got {counted.min()} to {counted.max()}.")
    n = len(probabilities)
    bins = np.searchsorted(_EDGES, probabilities)  # p = i / 15 belongs to the bin that ends there
    index = (np.arange(n)[:, None] * BINS + bins)[known]
    sums = [np.bincount(index, values[known], n * BINS) for values in (np.ones(known.shape), probabilities, outcomes)]
    return np.stack(sums, -1).reshape(n, BINS, 3)


def calibration_error(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """
    Args:
        sums: as `bin_sums` gives them.
        weights: `(resamples, n)` of the images.

    Returns:
        `(resamples,)`: mean over all values of |mean probability - mean outcome| of their bin; NaN without values.
    """
    count, confidence, outcome = np.moveaxis(weighted_sum(sums, weights), -1, 0)  # each (resamples, bins)
    total = count.sum(1)
    return np.where(total > 0, np.abs(confidence - outcome).sum(1) / np.where(total > 0, total, 1), np.nan)
