"""
Insertion and deletion (Petsiuk et al., *RISE: randomized input sampling for explanation of black-box models*, 2018).

The probability of the class predicted on the clean image, while pixels are changed from the map's highest value to its
lowest, all channels together, as many per step as the image is wide (224 at 224 x 224, as published): deletion sets
them to 0 in normalised space, insertion restores them in an image blurred by RISE's kernel (11, sigma 5, zero padding).
AUC = (sum - first / 2 - last / 2) / (number of points - 1), where the unchanged image is a point too. Variant: the mean
over several random orders of equal values (see [`ranking`]); the authors' code takes that of NumPy's `argsort`.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from .metric import Curves, ExplainedImages, Metric, MetricValue, Records
from .ranking import TIE_ORDERS, by_argsort, curves_in_order, replaced
from .tie_orders import TIES, order_records, order_values, with_spreads


def insertion_deletion_curves(
    classify: Callable[[torch.Tensor], torch.Tensor],
    pixel_values: torch.Tensor,
    heatmaps: torch.Tensor,
    labels: torch.Tensor,
    step_rows: int = 1,
    tie_orders: int = TIE_ORDERS,
) -> dict[str, np.ndarray]:
    """
    Args:
        classify: normalised images to logits `(n, classes)`; it gets up to 64 at once.
        pixel_values: `(n, channels, height, width)`, normalised.
        heatmaps: `(n, height, width)`.
        labels: `(n,)` the classes whose probability is followed.
        step_rows: a step changes as many pixels as this number of rows holds. 1 as published; more is coarser and
            cheaper.
        tie_orders: number of random orders of equal values; 0 for the one order of the authors' code.

    Returns:
        `insertion` and `deletion`, each `(n, orders, ceil(height / step_rows) + 1)`.

    Raises:
        ValueError: if maps and images differ in number or size, or `step_rows` does not lie in 1 ... height.
    """
    height, width = pixel_values.shape[-2:]
    if not 1 <= step_rows <= height:
        raise ValueError(f"step_rows must lie in 1 ... {height}, got {step_rows}.")
    rows = torch.arange(0, height + step_rows, step_rows).clamp(max=height)

    def curves(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
        return curves_in_order(
            lambda images, row: classify(images).softmax(1)[:, int(labels[row])],
            pixel_values,
            replaced(before, after),
            torch.as_tensor(heatmaps),
            rows * width,
            by_argsort,
            tie_orders=tie_orders,
        )

    black = torch.zeros_like(pixel_values)
    return {"insertion": curves(blur(pixel_values), pixel_values), "deletion": curves(pixel_values, black)}


def blur(images: torch.Tensor, size: int = 11, sigma: float = 5.0) -> torch.Tensor:
    """
    Blur of `(n, channels, height, width)`, zeros beyond the border.

    The kernel is the published one: SciPy's `gaussian_filter` of a single 1 amid `size` x `size` zeros. SciPy cuts the
    Gaussian off at 4 sigma and mirrors it at the border, so the part beyond the kernel is reflected into it: at sigma 5
    the kernel of 11 is much flatter than a Gaussian that is cut off there.
    """
    reach = int(4 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float64)
    gaussian = torch.exp(-(offsets**2) / (2 * sigma**2))
    # The 1 is in the middle, so its mirror images repeat every `size` pixels.
    places = (offsets.long() + size // 2) % size
    line = torch.zeros(size, dtype=torch.float64, device=images.device).index_add_(0, places, gaussian)
    kernel = torch.outer(line, line) / line.sum() ** 2
    channels = images.shape[1]
    kernel = kernel.to(images.dtype).expand(channels, 1, size, size)
    with torch.autocast(images.device.type, enabled=False):
        return nn.functional.conv2d(images, kernel, padding=size // 2, groups=channels)


def area_under(curves: np.ndarray) -> np.ndarray:
    """AUC of `(..., points)`, as defined above."""
    return (curves.sum(-1) - curves[..., 0] / 2 - curves[..., -1] / 2) / (curves.shape[-1] - 1)


def _measure(insertion: np.ndarray, deletion: np.ndarray) -> dict[str, np.ndarray]:
    """Curves `(n, points)`, or `(n, orders, points)` of several orders of equal values."""
    records: dict[str, np.ndarray] = {}
    for name, values in (("insertion", insertion), ("deletion", deletion)):
        curves = np.asarray(values, float)
        if curves.ndim not in (2, 3) or curves.shape[-1] < 2:
            raise ValueError(f"{name}: expected curves (n, [orders,] points), two points or more, got {curves.shape}.")
        records |= order_records(name, curves, area_under)
    return records


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    curves = insertion_deletion_curves(
        images.classify,
        images.pixel_values[torch.as_tensor(rows, device=images.pixel_values.device)],
        torch.as_tensor(images.predicted_heatmaps[rows]),
        torch.as_tensor(images.predicted[rows]),
        images.options.step_rows,
        images.options.tie_orders,
    )
    return _measure(**curves)


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    return order_values(records, weights, ("insertion", "deletion"), area_under)


INSERTION_DELETION = Metric(
    name="insertion_deletion",
    title="Insertion and deletion",
    values=with_spreads(
        MetricValue("insertion", "Insertion"), MetricValue("deletion", "Deletion", higher_is_better=False)
    ),
    measure=_measure,
    summarize=_summarize,
    features={"insertion": (1, "float32"), "deletion": (1, "float32")},
    variant="Probability of the predicted class; as many pixels per step as the image is wide; deletion to zeros in "
    "normalised space, insertion into RISE's blur (kernel 11, sigma 5, zero padding); " + TIES,
    record=_record,
    options=("step_rows", "tie_orders"),
    curves=Curves(
        panels={"Insertion": "insertion", "Deletion": "deletion"},
        x_title="share of the pixels changed",
        y_title="probability of the predicted class",
    ),
)
