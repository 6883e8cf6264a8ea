"""
Perturbation test (Chefer et al., *Transformer interpretability beyond attention visualization*, CVPR 2021).

For each share s = 0.1 ... 0.9 the k = int(height width s) pixels with the highest values of the map (positive test) or
the lowest (negative test) turn black before normalisation. The score is the top-1 hit against the **true** label;
'predicted' and 'target' name the class that the map explains. AUC: trapezoid over x = 0, 0.1, ..., 0.9, with the clean
accuracy at 0. Higher is better in the negative test, lower in the positive one. Variant: the mean over several random
orders of equal values (see [`ranking`]); the authors' code takes those that `topk` returns.
"""

from collections.abc import Callable

import numpy as np
import torch

from .metric import Curves, ExplainedImages, Metric, MetricValue, Records
from .ranking import TIE_ORDERS, curves_in_order, replaced
from .tie_orders import TIES, hit_records, order_values, with_spreads

SHARES = np.arange(10) / 10  # 0: the clean image


def perturbation_hits(
    classify: Callable[[torch.Tensor], torch.Tensor],
    pixel_values: torch.Tensor,
    heatmaps: torch.Tensor,
    labels: torch.Tensor,
    positive: bool,
    black: torch.Tensor,
    tie_orders: int = TIE_ORDERS,
) -> np.ndarray:
    """
    Args:
        classify: normalised images to logits `(n, classes)`; it gets up to 64 at once.
        pixel_values: `(n, channels, height, width)`, normalised.
        heatmaps: `(n, height, width)`.
        labels: `(n,)` true classes.
        positive: the highest values turn black first, else the lowest.
        black: a black pixel after normalisation, `(channels, 1, 1)`.
        tie_orders: number of random orders of equal values; 0 for the one order of the authors' code.

    Returns:
        `(n, orders, 10)`: 1 where the most probable class is the label, for each share of black pixels (0: none).

    Raises:
        ValueError: if maps and images differ in number or size.
    """
    pixels = pixel_values[0, 0].numel()
    return curves_in_order(
        lambda images, row: classify(images).argmax(1) == int(labels[row]),
        pixel_values,
        replaced(pixel_values, black.to(pixel_values.device).expand_as(pixel_values)),
        torch.as_tensor(heatmaps),
        torch.tensor([int(pixels * share) for share in SHARES]),
        _highest,
        positive,
        tie_orders,
    )


def _highest(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The published order: `topk` for each share, an unstable sort."""
    changed = torch.zeros(len(counts), len(values), dtype=torch.bool, device=values.device)
    for row, count in zip(changed, counts.tolist(), strict=True):
        row[values.topk(count).indices] = True
    return changed


def area_under(hits: np.ndarray) -> np.ndarray:
    """Trapezoid over the shares 0 ... 0.9 of `(..., 10)` accuracies."""
    hits = np.asarray(hits, float)
    return ((hits[..., 1:] + hits[..., :-1]) / 2 * np.diff(SHARES)).sum(-1)


_NAMES = ("negative_predicted", "negative_target", "positive_predicted", "positive_target")


def _measure(**hits: np.ndarray) -> dict[str, np.ndarray]:
    """Hits `(n, 10)`, or `(n, orders, 10)` of several orders of equal values."""
    return hit_records({name: hits[name] for name in _NAMES}, len(SHARES), area_under)


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    """A map of the predicted class is tested only where it differs from that of the true class."""
    target_maps, predicted_maps = images.heatmaps[rows], images.predicted_heatmaps[rows]

    def test(chosen: np.ndarray, heatmaps: np.ndarray, positive: bool) -> np.ndarray:
        places = torch.as_tensor(rows[chosen], device=images.pixel_values.device)
        return perturbation_hits(
            images.classify,
            images.pixel_values[places],
            torch.as_tensor(heatmaps[chosen]),
            torch.as_tensor(images.labels[rows[chosen]]),
            positive,
            images.black,
            images.options.tie_orders,
        )

    everywhere = np.arange(len(rows))
    different = np.flatnonzero((predicted_maps != target_maps).any((1, 2)))
    hits: dict[str, np.ndarray] = {}
    for name, positive in (("negative", False), ("positive", True)):
        target = test(everywhere, target_maps, positive)
        predicted = target.copy()
        if len(different):
            predicted[different] = test(different, predicted_maps, positive)
        hits |= {f"{name}_predicted": predicted, f"{name}_target": target}
    return _measure(**hits)


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    return order_values(records, weights, _NAMES, area_under)


PERTURBATION = Metric(
    name="perturbation",
    title="Perturbation",
    values=with_spreads(
        MetricValue("negative_predicted", "Negative AUC, predicted class"),
        MetricValue("negative_target", "Negative AUC, true class"),
        MetricValue("positive_predicted", "Positive AUC, predicted class", higher_is_better=False),
        MetricValue("positive_target", "Positive AUC, true class", higher_is_better=False),
    ),
    measure=_measure,
    summarize=_summarize,
    features=dict.fromkeys(_NAMES, (1, "float32")),
    variant="10 % to 90 % of the pixels turn black (before normalisation), highest values of the map first (positive) "
    "or lowest first (negative); top-1 against the true label; trapezoid over 0 ... 0.9 with the clean accuracy at 0; "
    + TIES,
    record=_record,
    options=("tie_orders",),
    curves=Curves(
        panels={"Negative (true class)": "negative_target", "Positive (true class)": "positive_target"},
        x_title="share of the pixels turned black",
        y_title="top-1 accuracy",
        x=SHARES,
    ),
)
