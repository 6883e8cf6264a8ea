"""Reliability diagrams."""

from pathlib import Path

import numpy as np

from ...metrics.calibration import BINS
from .temperatures import Calibration


def reliability_plot(path: Path, calibration: Calibration) -> None:
    """
    The reliability diagram before and after: how often a probability is true, bin by bin, and below it the share of the
    probabilities in each bin.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = {"before": (calibration.before, 1.0), "after": (calibration.after, calibration.temperature)}
    values = calibration.values
    picture, axes = plt.subplots(
        2, 2, figsize=(8, 5), sharex=True, sharey="row", height_ratios=[3, 1], gridspec_kw={"hspace": 0.08}
    )
    edges = np.arange(BINS) / BINS
    for column, (when, (sums, temperature)) in enumerate(panels.items()):
        count, _, outcome = np.moveaxis(sums.sum(0), -1, 0)
        upper, lower = axes[0][column], axes[1][column]
        shown = count > 0
        upper.bar(edges[shown], (outcome / np.where(shown, count, 1))[shown], 1 / BINS, align="edge", color="#0072b2")
        upper.plot([0, 1], [0, 1], "--", color="0.4", linewidth=1)
        lower.bar(edges, count / count.sum(), 1 / BINS, align="edge", color="0.6")
        error = f"{100 * values[f'calibration_error_{when}']:.1f} %"
        upper.set(title=f"{when}: error {error}, temperature {temperature:.2f}", xlim=(0, 1), ylim=(0, 1))
        lower.set(xlabel="probability", ylim=(0, 1))
        for axis in (upper, lower):
            axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("true how often")
    axes[1][0].set_ylabel("share")
    picture.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(picture)
