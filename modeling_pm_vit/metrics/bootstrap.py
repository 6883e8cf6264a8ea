"""Percentile bootstrap over images (Efron, 1979): intervals of values, and of differences on the same images."""

import numpy as np

from .metric import Metric, Records

RESAMPLES = 1000


def resample_weights(count: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each of `count` images is drawn in each resample, `(resamples, count)`."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)


def bootstrap(metric: Metric, records: Records, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
    """Each value of the metric in each resample, `(resamples,)`. Sets of the same size are resampled alike."""
    count = len(next(iter(records.values())))
    return metric.summarize(records, resample_weights(count, resamples, seed))


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central `level` of the samples, (low, high); NaN without samples."""
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def differ(samples: np.ndarray, others: np.ndarray) -> bool:
    """Whether the interval of the paired differences excludes 0."""
    if samples.shape != others.shape:
        raise ValueError(f"paired resamples must be equally many, got {samples.shape} and {others.shape}.")
    low, high = interval(samples - others)
    return low > 0 or high < 0
