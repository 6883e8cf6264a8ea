"""
Temperatures: one number by which logits are divided, so that probabilities agree with what is true how often.

Guo et al., *On calibration of modern neural networks*, 2017: the temperature that minimises the negative log-likelihood
of held-out images. It changes no order of the classes. For maps the same with the two outcomes of a patch.
"""

from collections.abc import Callable

import numpy as np

BOUNDS = (0.05, 20.0)  # beyond them the likelihood has no minimum worth the name: the classes are told apart perfectly


def fit_class_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """
    Args:
        logits: `(n, classes)`, before any temperature.
        labels: `(n,)`, true classes.

    Returns:
        The temperature in `BOUNDS` of the smallest [`class_likelihood_loss`].
    """
    return _fitted(lambda temperature: class_likelihood_loss(logits, labels, temperature))


def fit_map_temperature(logits: np.ndarray, coverage: np.ndarray) -> float:
    """
    Args:
        logits: of patches, any shape, before any temperature.
        coverage: same shape, in [0, 1]: the fraction of the patch that the class covers; NaN: unknown, left out.

    Returns:
        The temperature in `BOUNDS` of the smallest [`map_likelihood_loss`].
    """
    known = np.isfinite(coverage)
    logits, coverage = np.asarray(logits, np.float64)[known], np.asarray(coverage, np.float64)[known]
    return _fitted(lambda temperature: map_likelihood_loss(logits, coverage, temperature))


def class_likelihood_loss(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """The mean negative log-likelihood (nats) of the true classes under the softmax of `logits / temperature`."""
    scaled = np.asarray(logits, np.float64) / temperature
    own = np.take_along_axis(scaled, np.asarray(labels)[:, None], 1)[:, 0]
    return float(np.mean(np.logaddexp.reduce(scaled, 1) - own))


def map_likelihood_loss(logits: np.ndarray, coverage: np.ndarray, temperature: float = 1.0) -> float:
    """The mean cross-entropy (nats) between `coverage` and the sigmoid of `logits / temperature`; NaN is left out."""
    scaled = np.asarray(logits, np.float64) / temperature
    return float(np.nanmean(np.logaddexp(0, scaled) - coverage * scaled))


def _fitted(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    # The loss is convex in 1 / temperature, so it has one minimum along the logarithm too.
    found = minimize_scalar(lambda x: loss(np.exp(x)), bounds=tuple(np.log(BOUNDS)), method="bounded")
    return float(np.exp(found.x))
