"""
ROAD, remove and debias (Rong et al., *A consistent and efficient evaluation strategy for attribution methods*, ICML
2022).

For each share 0.1 ... 0.9 the pixels with the highest values of the map (most relevant first, MoRF) or the lowest
(least relevant first, LeRF) are replaced by noisy linear imputation: each is a weighted mean of its eight neighbours,
plus noise of standard deviation 0.01 in normalised space. So, unlike black pixels, the shape of what is removed tells
the class little. The imputation is computed by the package `grad-cam`, which took it from the authors.

The score is the top-1 hit against the true label; a value is its mean over the nine shares. Variants: the map of the
true class; the mean over several random orders of equal values (see [`ranking`]), where `grad-cam` removes all pixels
that reach a percentile, which is the whole image for a map that is 0 in most of it; the noise is seeded by the image.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..utils.extras import import_extra
from .metric import Curves, ExplainedImages, Metric, MetricValue, Records
from .ranking import TIE_ORDERS, by_argsort, curves_in_order, image_seed
from .tie_orders import TIES, order_records, order_values, with_spreads

SHARES = np.arange(10) / 10  # 0: the whole image
_NAMES = ("road_morf", "road_lerf")


def road_hits(
    classify: Callable[[torch.Tensor], torch.Tensor],
    pixel_values: torch.Tensor,
    heatmaps: torch.Tensor,
    labels: torch.Tensor,
    most_relevant: bool,
    tie_orders: int = TIE_ORDERS,
) -> np.ndarray:
    """
    Args:
        classify: normalised images to logits `(n, classes)`; it gets up to 64 at once.
        pixel_values: `(n, channels, height, width)`, normalised.
        heatmaps: `(n, height, width)`.
        labels: `(n,)` true classes.
        most_relevant: the highest values are removed first, else the lowest.
        tie_orders: number of random orders of equal values; 0 for the one of NumPy's `argsort`.

    Returns:
        `(n, orders, 10)`: 1 where the most probable class is the label, for each share of removed pixels (0: none).
    """
    imputer = import_extra("pytorch_grad_cam.metrics.road", "the metric road", "eval").NoisyLinearImputer()
    pixels = pixel_values[0, 0].numel()

    def remove(chosen: torch.Tensor, row: int) -> torch.Tensor:
        image = pixel_values[row].float().cpu()
        return torch.stack([imputed(imputer, image, removed) for removed in chosen[:, 0].cpu()]).to(pixel_values)

    return curves_in_order(
        lambda images, row: classify(images).argmax(1) == int(labels[row]),
        pixel_values,
        remove,
        torch.as_tensor(heatmaps),
        torch.tensor([int(pixels * share) for share in SHARES]),
        by_argsort,
        most_relevant,
        tie_orders,
    )


def imputed(imputer: Any, image: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """An image `(channels, height, width)` with its removed pixels, boolean `(height, width)`, imputed."""
    if not removed.any():
        return image
    seed = int(np.random.default_rng([*image_seed(image), int(removed.sum())]).integers(2**62))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return imputer(image, (~removed).float())


def mean_of_shares(hits: np.ndarray) -> np.ndarray:
    """Mean over the shares 0.1 ... 0.9 of `(..., 10)` accuracies."""
    return np.asarray(hits, float)[..., 1:].mean(-1)


def _measure(**hits: np.ndarray) -> dict[str, np.ndarray]:
    """Hits `(n, 10)`, or `(n, orders, 10)` of several orders of equal values."""
    records: dict[str, np.ndarray] = {}
    for name in _NAMES:
        found = np.asarray(hits[name], float)
        if found.ndim not in (2, 3) or found.shape[-1] != len(SHARES):
            raise ValueError(f"{name}: expected hits of shape (n, [orders,] {len(SHARES)}), got {found.shape}.")
        records |= order_records(name, found, mean_of_shares)
    return records


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    places = torch.as_tensor(rows, device=images.pixel_values.device)
    chosen = images.pixel_values[places], torch.as_tensor(images.heatmaps[rows]), torch.as_tensor(images.labels[rows])
    return _measure(
        **{
            name: road_hits(images.classify, *chosen, most_relevant, images.options.tie_orders)
            for name, most_relevant in zip(_NAMES, (True, False), strict=True)
        }
    )


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    return order_values(records, weights, _NAMES, mean_of_shares)


ROAD = Metric(
    name="road",
    title="ROAD",
    values=with_spreads(
        MetricValue("road_morf", "ROAD, most relevant first", higher_is_better=False),
        MetricValue("road_lerf", "ROAD, least relevant first"),
    ),
    measure=_measure,
    summarize=_summarize,
    features=dict.fromkeys(_NAMES, (1, "float32")),
    variant="10 % to 90 % of the pixels replaced by noisy linear imputation, highest values of the true class's map "
    "first or lowest first; top-1 against the true label, mean over the nine shares; " + TIES,
    record=_record,
    options=("tie_orders",),
    curves=Curves(
        panels={"Most relevant first": "road_morf", "Least relevant first": "road_lerf"},
        x_title="share of the pixels removed",
        y_title="top-1 accuracy",
        x=SHARES,
    ),
)
