"""The measured ratios in the results of a benchmark."""

from collections.abc import Mapping


def pairs_of(results: Mapping) -> dict[str, dict[str, float]]:
    """
    The ratios of any benchmark by name: its `pairs`, and its results named `ratio` or `ratio_...`, with their bounds
    `_low` and `_high` or standard error `_error`.
    """
    pairs = dict(results.get("pairs", {}))
    ends = ("_low", "_high", "_error")
    for name, value in results.items():
        if name.split("_")[0] == "ratio" and not name.endswith(ends):
            margin = 1.96 * results.get(f"{name}_error", 0)
            low, high = results.get(f"{name}_low", value - margin), results.get(f"{name}_high", value + margin)
            pairs[name] = {"ratio": value, "low": low, "high": high}
    return pairs
