"""
How concentrated a map is, whatever it shows.

Sparseness: Gini index of the absolute values (Chalasani et al., *Concise explanations of neural networks using
adversarial training*, 2020): 0 for a constant map, towards 1 for a single pixel.

Complexity: entropy, in nats, of the share of each pixel in the sum of the absolute values (Bhatt et al.,
*Evaluating and aggregating feature-based model explanations*, 2020): log(pixels) for a constant map, 0 for one pixel.
"""

import numpy as np

from .heatmaps import checked_heatmaps
from .metric import ExplainedImages, Metric, MetricValue, Records, means


def sparseness(heatmaps: np.ndarray) -> np.ndarray:
    """
    Gini index of each map of `(n, height, width)`; 0 for a map that is 0 everywhere.

    Example:
        >>> sparseness(np.array([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]])).tolist()
        [0.0, 0.75]
    """
    values = np.sort(np.abs(checked_heatmaps(heatmaps)).reshape(len(heatmaps), -1), axis=1)
    count = values.shape[1]
    total = values.sum(1)
    ranked = ((2 * np.arange(1, count + 1) - count - 1) * values).sum(1)
    return np.where(total > 0, ranked / np.where(total > 0, count * total, 1), 0.0)


def complexity(heatmaps: np.ndarray) -> np.ndarray:
    """Entropy in nats of each map of `(n, height, width)`; log(pixels) for a map that is 0 everywhere."""
    values = np.abs(checked_heatmaps(heatmaps)).reshape(len(heatmaps), -1)
    total = values.sum(1, keepdims=True)
    share = np.where(total > 0, values / np.where(total > 0, total, 1), 1 / values.shape[1])
    return -(share * np.log(np.where(share > 0, share, 1))).sum(1)


def _measure(heatmaps: np.ndarray) -> dict[str, np.ndarray]:
    return {"sparseness": sparseness(heatmaps), "complexity": complexity(heatmaps)}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.heatmaps[rows])


MAP_STATISTICS = Metric(
    name="map_statistics",
    title="Sparseness and complexity",
    values=(
        MetricValue("sparseness", "Sparseness (Gini)", None),
        MetricValue("complexity", "Complexity (nats)", None, scale=1),
    ),
    measure=_measure,
    summarize=means("sparseness", "complexity"),
    features={"heatmaps": (2, "float32")},
    variant="Of the absolute values of the true class's map, bilinear at the model's input size. Neither direction is "
    "better as such: a map can be concentrated in the wrong place.",
    record=_record,
)
