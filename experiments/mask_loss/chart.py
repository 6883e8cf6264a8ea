"""The study's figures as a picture: what is sure and what is scatter is seen at once."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from .table import COLUMNS, Runs, bounds_of, columns_of, gains_of, judged_of
from .variants import ARMS, CONTROL


def write_chart(runs: Runs, path: Path) -> None:
    """
    As PNG what [`table`] has: a row for each arm and explainer, a panel for top-1, its gain over the control and each
    figure. Rings: single seeds; dots: their means; lines: 95 % intervals over the images, of a single seed, and of the
    gain; dashed: the control.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(name, *found) for name, arm in runs.items() for found in judged_of(arm)]
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
    for row, (name, explainer, judged) in enumerate(rows):
        draw(axes[0], row, [run["top1"] for run in judged], None, 100)
        draw(axes[1], row, *gains[name], 100)
        for axis, key in zip(axes[2:], columns, strict=True):
            found = [run["figures"][explainer][key] for run in judged if key in run["figures"][explainer]]
            draw(axis, row, found, bounds_of(judged, explainer, key), COLUMNS[key][1])
    labels = [ARMS[name].title + ("" if explainer == "pm-vit" else f" ({explainer})") for name, explainer, _ in rows]
    axes[0].set_yticks(range(len(rows)), labels, fontsize=8)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
