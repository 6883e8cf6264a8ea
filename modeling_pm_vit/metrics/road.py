"""
ROAD, remove and debias (Rong et al., *A consistent and efficient evaluation strategy for attribution methods*, ICML
2022).

For each share 0.1 ... 0.9 the pixels with the highest values of the map (most relevant first, MoRF) or the lowest
(least relevant first, LeRF) are replaced by noisy linear imputation: each becomes the weighted mean of its eight
neighbours (1/6 beside it, 1/12 across), imputed ones included, plus noise of standard deviation 0.01 in normalised
space. So, unlike that of black pixels, the shape of what is removed tells the class little.

The score is the top-1 hit against the true label; a value is its mean over the nine shares. Variants: the map of the
true class; the mean over several random orders of equal values (see [`ranking`]), where the package `grad-cam` removes
all pixels that reach a percentile, which is the whole image for a map that is 0 in most of it; the linear equations are
solved by conjugate gradients, on the device of the images; an image has the same noise at all its shares.
"""

from collections.abc import Callable

import numpy as np
import torch

from .metric import Curves, ExplainedImages, Metric, MetricValue, Records
from .ranking import TIE_ORDERS, by_argsort, curves_in_order, image_seed
from .tie_orders import TIES, hit_records, order_values, with_spreads

NOISE = 0.01
_TOLERANCE, _MOST_STEPS = 1e-4, 2000  # of conjugate gradients; residuals relative to the right-hand side
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
    pixels = pixel_values[0, 0].numel()

    def remove(chosen: torch.Tensor, row: int) -> torch.Tensor:
        image = pixel_values[row].float()
        drawn = np.random.default_rng(image_seed(image)).standard_normal(image.shape, np.float32)
        noise = NOISE * torch.as_tensor(drawn, device=image.device)
        return torch.where(chosen, linear_imputation(image, chosen) + noise, image).to(pixel_values.dtype)

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


def linear_imputation(image: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """
    Args:
        image: `(channels, height, width)`.
        removed: `(m, 1, height, width)` boolean, not everywhere.

    Returns:
        `(m, channels, height, width)`: the removed pixels as means of their neighbours; 0 elsewhere.
    """

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).sum((2, 3), keepdim=True)

    whole = around(torch.ones_like(image))  # 1, less at the border
    right = around(image * ~removed) * removed
    found = torch.zeros_like(right)
    residual = right
    direction = residual
    size = dot(residual, residual)
    enough = _TOLERANCE**2 * size
    for _ in range(_MOST_STEPS):
        if (size <= enough).all():
            break
        image_of = (whole * direction - around(direction)) * removed
        step = size / dot(direction, image_of).clamp(min=1e-30)
        found, residual = found + step * direction, residual - step * image_of
        size, before = dot(residual, residual), size
        direction = residual + size / before.clamp(min=1e-30) * direction
    return found


def around(pixels: torch.Tensor) -> torch.Tensor:
    """
    The weighted sum of the neighbours of each pixel `(..., height, width)`; beyond the border there are none.

    In both directions one after the other, 1/2 1 1/2 gives 1/4 for pixels across, 1/2 beside and 1 in the middle.
    """
    rows = pixels.clone()
    rows[..., 1:, :] += pixels[..., :-1, :] / 2
    rows[..., :-1, :] += pixels[..., 1:, :] / 2
    both = rows - pixels
    both[..., 1:] += rows[..., :-1] / 2
    both[..., :-1] += rows[..., 1:] / 2
    return both / 3


def mean_of_shares(hits: np.ndarray) -> np.ndarray:
    """Mean over the shares 0.1 ... 0.9 of `(..., 10)` accuracies."""
    return np.asarray(hits, float)[..., 1:].mean(-1)


def _measure(**hits: np.ndarray) -> dict[str, np.ndarray]:
    """Hits `(n, 10)`, or `(n, orders, 10)` of several orders of equal values."""
    return hit_records({name: hits[name] for name in _NAMES}, len(SHARES), mean_of_shares)


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
