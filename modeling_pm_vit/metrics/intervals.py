"""
95 % confidence intervals that hold for few images, where a bootstrap of none or all right has no width.

Proportions: the score interval of Wilson (1927). Means of independent proportions: MOVER (Zou and Donner, 2008). Areas
under the ROC curve: the score interval of Newcombe (*Confidence intervals for an effect size measure based on the
Mann-Whitney statistic. Part 2*, 2006, method 5).
"""

import numpy as np

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
_STEPS = 60  # of a bisection in [0, 1]: 2^-60


def proportion(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """
    Args:
        successes, trials: of the same shape.

    Returns:
        `(..., 3)`: the share and its interval, low and high; NaN without trials.

    Example:
        >>> proportion(np.array(24), np.array(42)).round(2).tolist()
        [0.57, 0.42, 0.71]
    """
    trials = np.asarray(trials, np.float64)
    count = np.where(trials > 0, trials, np.nan)
    share = np.asarray(successes, np.float64) / count
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return np.stack([share, np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)], -1)


def f1_score(both: np.ndarray, either: np.ndarray) -> np.ndarray:
    """
    F1 = 2 J / (1 + J), of J = the share of the images with the class in truth and prediction (`both`) among those with
    it in one of them (`either`), which is a proportion (Hand, Christen and Kirielle, 2021). Shapes as in
    [`proportion`].
    """
    overlap = proportion(both, either)
    return np.asarray(2 * overlap / (1 + overlap))


def mean_of_independent(estimates: np.ndarray) -> np.ndarray:
    """
    Args:
        estimates: `(k, 3)`, values with their intervals, independent of one another; those that are NaN do not count.

    Returns:
        `(3,)`: their mean and its interval.
    """
    value, low, high = estimates[np.isfinite(estimates[:, 0])].T
    if not len(value):
        return np.full(3, np.nan)
    below, above = (np.sqrt(((value - bound) ** 2).sum()) / len(value) for bound in (low, high))
    return np.array([value.mean(), value.mean() - below, value.mean() + above])


def area_under_roc(area: np.ndarray, present: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """
    Args:
        area: under the ROC curve, `(k,)`; NaN where there is none.
        present, absent: the number of images with and without the class, `(k,)`.

    Returns:
        `(k, 3)`: the area and its interval.
    """
    area, present, absent = (np.asarray(values, np.float64) for values in (area, present, absent))

    def reaches(bound: np.ndarray) -> np.ndarray:
        """Whether the area is within z standard errors of an area `bound`."""
        mean_others = (present + absent) / 2 - 1
        shape = 1 + mean_others * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        variance = bound * (1 - bound) * shape / np.maximum(present * absent, 1)
        return np.asarray((area - bound) ** 2 <= _Z**2 * variance)

    bounds = []
    for end in (0.0, 1.0):
        inside, outside = area.copy(), np.full_like(area, end)
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            is_inside = reaches(middle)
            inside, outside = np.where(is_inside, middle, inside), np.where(is_inside, outside, middle)
        bounds.append(inside)
    return np.stack([area, *(np.where(np.isfinite(area), bound, np.nan) for bound in bounds)], -1)
