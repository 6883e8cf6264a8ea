"""The ratios that a benchmark has measured."""

from collections.abc import Mapping


def pairs_of(figures: Mapping) -> dict[str, dict[str, float]]:
    """
    The ratios of any benchmark by name: its `pairs`, and its figures that are called `ratio` or `ratio_...`, with the
    bounds `_low` and `_high` or the standard error `_error` that lie beside them.
    """
    pairs = dict(figures.get("pairs", {}))
    ends = ("_low", "_high", "_error")
    for name, value in figures.items():
        if name.split("_")[0] == "ratio" and not name.endswith(ends):
            margin = 1.96 * figures.get(f"{name}_error", 0)
            low, high = figures.get(f"{name}_low", value - margin), figures.get(f"{name}_high", value + margin)
            pairs[name] = {"ratio": value, "low": low, "high": high}
    return pairs
