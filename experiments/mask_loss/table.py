"""The results as a table: mean and standard deviation over the seeds, and differences from the control."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.bootstrap import interval, resample_weights
from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.utils.files import write_text
from modeling_pm_vit.utils.tables import markdown_table

from .results import Runs
from .variants import CONTROL, VARIANTS

_LEFT_OUT = {"max_box_acc", "complexity", "held_out_threshold", "held_out_box_acc_30", "held_out_box_acc_50"}
_LEFT_OUT |= {"held_out_box_acc_70"}
COLUMNS = {  # of each value its head and scale
    value.name: (value.title, value.scale)
    for metric in METRICS.values()
    if metric.needs_explainer
    for value in metric.values
} | {
    f"held_out_{value.name}": (f"held out: {value.title}", value.scale)
    for metric in METRICS.values()
    if metric.held_out
    for value in metric.held_out.metric.values
}


def columns_of(runs: Runs) -> list[str]:
    """The values that any variant has, as keys of `COLUMNS` in their order, without redundant ones."""
    found = {
        key
        for by_seed in runs.values()
        for run in by_seed.values()
        for values in run["values"].values()
        for key in values
    }
    return [key for key in COLUMNS if key in found - _LEFT_OUT]


def evaluated_runs(by_seed: dict[int, dict]) -> list[tuple[str, list[dict]]]:
    """The explainers that a variant was evaluated with, in the order of `EXPLAINERS`, each with its runs."""
    found = [(name, [run for run in by_seed.values() if name in run["values"]]) for name in EXPLAINERS]
    return [(name, runs) for name, runs in found if runs]


def bounds_of(runs: list[dict], explainer: str, key: str) -> Sequence[float] | None:
    """The interval from the evaluation of a single seed; `None` for several seeds."""
    return runs[0].get("intervals", {}).get(explainer, {}).get(key) if len(runs) == 1 else None


def table(runs: Runs) -> str:
    """
    As Markdown, one row for each variant and explainer: means over the seeds with the standard deviation of single
    runs. With one seed: 95 % bootstrap intervals over the images in brackets, from the evaluation. For top-1 also the
    mean difference from the control on the same seeds, in brackets its interval over the images (seeds fixed,
    differences paired).
    """
    columns = columns_of(runs)
    heads = ["Mask loss", "Map", "Top-1", "Gain", *(COLUMNS[key][0] for key in columns), "Seeds"]
    rows = [heads]
    for name, by_seed in runs.items():
        gains, bounds = gains_of(runs, name)
        gain = f"{_spread(gains, 100)} {_bracket(bounds, 100)}" if bounds else _spread(gains, 100)
        first = [VARIANTS[name].title, _spread([run["top1"] for run in by_seed.values()], 100), gain]
        for explainer, evaluated in evaluated_runs(by_seed):
            title, top1, gain = first
            cells = [_cell(evaluated, explainer, key) for key in columns]
            rows.append([title, explainer, top1, gain, *cells, str(len(evaluated))])
            first = ["", "", ""]
    return markdown_table(rows)


def gains_of(runs: Runs, name: str) -> tuple[list[float], tuple[float, float] | None]:
    """
    The gains in top-1 of a variant over the control, one for each seed of both, and the 95 % bootstrap interval of
    their mean over the images; `None` if the runs were evaluated on different numbers of images.
    """
    control = runs.get(CONTROL, {})
    pairs = [] if name == CONTROL else [(run, control[seed]) for seed, run in runs[name].items() if seed in control]
    gains = [run["top1"] - other["top1"] for run, other in pairs]
    correct = [(run.get("correct", []), other.get("correct", [])) for run, other in pairs]
    counts = {len(images) for pair in correct for images in pair}
    if len(counts) != 1 or counts == {0}:
        return gains, None
    of_images = np.mean([np.subtract(run, other) for run, other in correct], axis=0)
    return gains, interval(resample_weights(len(of_images)) @ of_images / len(of_images))


def write_table(runs: Runs, path: Path) -> str:
    """[`table`] as a file; returns its text."""
    text = table(runs)
    write_text(path, text)
    return text


def _cell(runs: list[dict], explainer: str, key: str) -> str:
    scale = COLUMNS[key][1]
    text = _spread([run["values"][explainer].get(key, np.nan) for run in runs], scale)
    bounds = bounds_of(runs, explainer, key)
    return f"{text} {_bracket(bounds, scale)}" if bounds else text


def _bracket(bounds: Sequence[float], scale: float = 1.0) -> str:
    low, high = bounds
    return f"[{scale * low:.1f}, {scale * high:.1f}]"


def _spread(values: list[float], scale: float) -> str:
    known = scale * np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return ""
    return f"{known.mean():.1f}" + (f" ± {known.std(ddof=1):.1f}" if len(known) > 1 else "")
