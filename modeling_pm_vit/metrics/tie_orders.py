"""Records and values of curves that were taken in several random orders of equal pixels (see [`ranking`])."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from .metric import MetricValue, Records, weighted_mean

Area = Callable[[np.ndarray], np.ndarray]  # of curves `(..., points)`: `(...)`

TIES = (
    "ties: mean of --tie_orders random orders of equal pixels, ± their standard deviation (0: the one order of the "
    "authors' code)."
)


def order_records(name: str, curves: np.ndarray, area: Area) -> dict[str, np.ndarray]:
    """Of curves `(n, points)` or `(n, orders, points)`: their mean `(n, points)`, and the areas `(n, orders)`."""
    curves = curves[:, None] if curves.ndim == 2 else curves
    return {name: curves.mean(1), f"{name}_areas": area(curves)}


def hit_records(hits: Mapping[str, np.ndarray], points: int, area: Area) -> dict[str, np.ndarray]:
    """
    [`order_records`] of hits by name, each `(n, points)` or `(n, orders, points)`.

    Raises:
        ValueError: if hits do not have this shape.
    """
    records: dict[str, np.ndarray] = {}
    for name, values in hits.items():
        found = np.asarray(values, float)
        if found.ndim not in (2, 3) or found.shape[-1] != points:
            raise ValueError(f"{name}: expected hits of shape (n, [orders,] {points}), got {found.shape}.")
        records |= order_records(name, found, area)
    return records


def order_values(records: Records, weights: np.ndarray, names: Iterable[str], area: Area) -> dict[str, np.ndarray]:
    """The area of the mean curve, and the standard deviation over the orders of the set's area; NaN for one order."""
    values = {}
    for name in names:
        values[name] = area(weighted_mean(records[name], weights))
        areas = weighted_mean(records[f"{name}_areas"], weights)  # (resamples, orders)
        one = areas.shape[1] == 1
        values[f"{name}_spread"] = np.full(len(areas), np.nan) if one else areas.std(1, ddof=1)
    return values


def with_spreads(*values: MetricValue) -> tuple[MetricValue, ...]:
    """The values, each followed by its spread."""
    return tuple(
        either
        for value in values
        for either in (value, MetricValue(f"{value.name}_spread", f"± of {value.title}", None, spread_of=value.name))
    )
