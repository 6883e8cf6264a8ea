"""Picture of ratios with their intervals and goals."""

from collections.abc import Mapping
from pathlib import Path

from .bounds import BOUNDS, check_bounds
from .pairs import pairs_of


def plot_ratios(benchmark: str, results: Mapping, path: Path) -> None:
    """One row for each pair; a dash marks its goal. The axis is logarithmic if a ratio is above 5."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    pairs = {name: pair for name, pair in pairs_of(results).items() if not name.endswith("/memory")}
    goals = {v.pair: v for v in check_bounds({benchmark: results}, [b for b in BOUNDS if b.benchmark == benchmark])}
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.22 * max(len(pairs), 4)), layout="constrained")
    for row, (name, pair) in enumerate(pairs.items()):
        axes.plot([pair["low"], pair["high"]], [row, row], color="tab:blue", linewidth=1.5)
        axes.plot(pair["ratio"], row, "o", color="tab:blue", markersize=4)
        if name in goals:
            axes.plot(goals[name].bound.goal, row, "|", color="tab:red", markersize=12)
    axes.axvline(1, color="gray", linewidth=0.8)
    if max((pair["ratio"] for pair in pairs.values()), default=1) > 5:
        axes.set_xscale("log")
    axes.set_yticks(range(len(pairs)), list(pairs), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ratio (dot: median, line: 95 % interval, red: goal)")
    axes.set_title(f"{benchmark}: {results.get('machine', {}).get('device', '')}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
