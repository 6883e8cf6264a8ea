"""What the protocols have in common: figures from records of images, so that images can be weighed (bootstrap)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Records = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Figure:
    """
    One column of a table.

    Args:
        name: key in results.
        title: head of the column.
        higher_is_better: `None` where neither direction is.
        scale: what the value is multiplied by for printing (100 for per cent).
    """

    name: str
    title: str
    higher_is_better: bool | None = True
    scale: float = 100.0


@dataclass(frozen=True)
class Protocol:
    """
    A protocol in two steps: `measure` makes records of images, `summarize` figures of records.

    Args:
        name, title: key and heading.
        figures: what `summarize` returns, in this order.
        measure: arrays of n images -> records, arrays whose first axis is the image.
        summarize: records and weights `(resamples, n)` of the images -> figures, each `(resamples,)`. Weights of 1 give
            the figures of the set; a bootstrap resample is the number of times that it drew each image.
        features: the inputs of `measure`, each with its rank and dtype, for the `evaluate` module.
        variant: one paragraph: what exactly is computed, and after whom.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    measure: Callable[..., dict[str, np.ndarray]]
    summarize: Callable[[Records, np.ndarray], dict[str, np.ndarray]]
    features: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    variant: str = ""

    def compute(self, **inputs) -> dict[str, float]:
        """The figures of a set of images, from the inputs of `measure`."""
        return self.figures_of(self.measure(**inputs))

    def figures_of(self, records: Records) -> dict[str, float]:
        """The figures of a set of records."""
        weights = np.ones((1, len(next(iter(records.values())))))
        return {name: float(values[0]) for name, values in self.summarize(records, weights).items()}


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """
    Args:
        values: `(n, ...)`; NaN where an image has no value: it does not count.
        weights: `(resamples, n)`.

    Returns:
        `(resamples, ...)`; NaN where no image counts.
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    total = weighted_sum(np.where(known, values, 0.0), weights)
    count = weighted_sum(known, weights)
    return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)


def weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of `values` `(n, ...)` under `weights` `(resamples, n)`: `(resamples, ...)`."""
    return np.tensordot(weights, np.asarray(values, np.float64), axes=1)


def means(*names: str) -> Callable[[Records, np.ndarray], dict[str, np.ndarray]]:
    """A `summarize` whose figures are the means of the records of the same names."""

    def summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: weighted_mean(records[name], weights) for name in names}

    return summarize
