"""The results as a picture, which separates differences from scatter at a glance."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from .results import Runs
from .table import COLUMNS, bounds_of, columns_of, evaluated_runs, gains_of
from .variants import CONTROL, VARIANTS


def write_chart(runs: Runs, path: Path) -> None:
    """
    The content of [`table`] as PNG: a row for each variant and explainer, a panel for top-1, its gain over the control
    and each value. Rings: single seeds. Dots: their means. Lines: 95 % intervals over the images, of a single seed and
    of the gain. Dashed: the control.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(name, *found) for name, by_seed in runs.items() for found in evaluated_runs(by_seed)]
    gains = {name: gains_of(runs, name) for name in runs}
    columns = columns_of(runs)
    size = (6.4 + 1.7 * len(columns), 1 + 0.24 * len(rows))
    figure, axes = pyplot.subplots(1, 2 + len(columns), figsize=size, sharey=True, layout="constrained")
    for axis, title in zip(axes, ["Top-1", "Gain", *(COLUMNS[key][0] for key in columns)], strict=True):
        axis.set_title(fill(title, 18), fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(axis="y", color="0.6", alpha=0.3)
        axis.spines[["top", "right", "left"]].set_visible(False)

    def draw(axis, row: int, values: Sequence[float], bounds: Sequence[float] | None, scale: float) -> None:
        name, explainer, _ = rows[row]
        ours = explainer == "pm-vit"
        if not values:
            return
        colour = "black" if name == CONTROL else "tab:blue" if ours else "tab:gray"
        mean = scale * sum(values) / len(values)
        if len(values) > 1:
            axis.plot([scale * value for value in values], [row] * len(values), "o", color=colour, fillstyle="none")
        if bounds:
            axis.plot([scale * bound for bound in bounds], [row, row], color=colour, linewidth=1.2)
        axis.plot(mean, row, "o", color=colour, markersize=4)
        if name == CONTROL and ours:
            axis.axvline(mean, color="black", linewidth=0.8, linestyle="--", zorder=0)

    axes[1].axvline(0, color="black", linewidth=0.8, linestyle="--", zorder=0)
    for row, (name, explainer, evaluated) in enumerate(rows):
        draw(axes[0], row, [run["top1"] for run in evaluated], None, 100)
        draw(axes[1], row, *gains[name], 100)
        for axis, key in zip(axes[2:], columns, strict=True):
            found = [run["values"][explainer][key] for run in evaluated if key in run["values"][explainer]]
            draw(axis, row, found, bounds_of(evaluated, explainer, key), COLUMNS[key][1])
    labels = [
        VARIANTS[name].title + ("" if explainer == "pm-vit" else f" ({explainer})") for name, explainer, _ in rows
    ]
    axes[0].set_yticks(range(len(rows)), labels, fontsize=8)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
