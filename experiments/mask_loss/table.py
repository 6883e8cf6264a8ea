"""The study's figures as tables: mean and standard deviation over the seeds, and differences from the control."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling_pm_vit.evaluation.evaluator import PROTOCOLS
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.bootstrap import interval, resample_weights
from modeling_pm_vit.metrics.held_out_localization import HELD_OUT_LOCALIZATION
from modeling_pm_vit.utils.files import write_text

from .variants import ARMS, CONTROL

_LEFT_OUT = {"max_box_acc", "complexity", "held_out_threshold", "held_out_box_acc_30", "held_out_box_acc_50"}
_LEFT_OUT |= {"held_out_box_acc_70"}
COLUMNS = {  # figure: head and scale
    figure.name: (figure.title, figure.scale)
    for protocol in PROTOCOLS.values()
    if protocol.name != "classification"
    for figure in protocol.figures
} | {f"held_out_{figure.name}": (f"held out: {figure.title}", figure.scale) for figure in HELD_OUT_LOCALIZATION.figures}

Runs = dict[str, dict[int, dict]]  # by arm and seed, what the arm's file holds


def read_runs(output: Path) -> Runs:
    """What [`run_arm`] has left in the study's folder, in the order of `ARMS`."""
    found: Runs = {}
    for name in ARMS:
        files = sorted((output / name).glob("seed-*.json"))
        if files:
            runs = [json.loads(file.read_text()) for file in files]
            found[name] = {run["seed"]: run for run in runs}
    return found


def columns_of(runs: Runs) -> list[str]:
    """The figures that were found of any arm, keys of `COLUMNS` in their order, but those that say little more."""
    found = {
        key for arm in runs.values() for run in arm.values() for values in run["figures"].values() for key in values
    }
    return [key for key in COLUMNS if key in found - _LEFT_OUT]


def judged_of(arm: dict[int, dict]) -> list[tuple[str, list[dict]]]:
    """The explainers that an arm was judged with, in the order of `EXPLAINERS`, each with its runs."""
    found = [(name, [run for run in arm.values() if name in run["figures"]]) for name in EXPLAINERS]
    return [(name, judged) for name, judged in found if judged]


def bounds_of(judged: list[dict], explainer: str, key: str) -> Sequence[float] | None:
    """The interval that the judging of a single seed found; of several there is none."""
    return judged[0].get("intervals", {}).get(explainer, {}).get(key) if len(judged) == 1 else None


def table(runs: Runs) -> str:
    """
    As Markdown one row for each arm and explainer that was judged: means over the seeds with their standard deviation
    (of single runs); where there is one seed, 95 % bootstrap intervals over the images in brackets, which were found
    when the arm was judged. For top-1 also the mean difference from the control on the same seeds, and in brackets its
    interval over the images (seeds fixed, differences paired).
    """
    columns = columns_of(runs)
    heads = ["Mask loss", "Map", "Top-1", "Gain", *(COLUMNS[key][0] for key in columns), "Seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, arm in runs.items():
        gains, bounds = gains_of(runs, name)
        gain = f"{_spread(gains, 100)} {_bracket(bounds, 100)}" if bounds else _spread(gains, 100)
        first = [ARMS[name].title, _spread([run["top1"] for run in arm.values()], 100), gain]
        for explainer, judged in judged_of(arm):
            title, top1, gain = first
            cells = [_cell(judged, explainer, key) for key in columns]
            lines.append("| " + " | ".join([title, explainer, top1, gain, *cells, str(len(judged))]) + " |")
            first = ["", "", ""]
    return "\n".join(lines) + "\n"


def gains_of(runs: Runs, name: str) -> tuple[list[float], tuple[float, float] | None]:
    """
    The gains in top-1 of an arm over the control, one for each seed of both, and the 95 % bootstrap interval of their
    mean over the images; None where the runs were not judged on the same number of images.
    """
    control = runs.get(CONTROL, {})
    pairs = [] if name == CONTROL else [(run, control[seed]) for seed, run in runs[name].items() if seed in control]
    gains = [run["top1"] - other["top1"] for run, other in pairs]
    judged = [(run.get("correct", []), other.get("correct", [])) for run, other in pairs]
    counts = {len(correct) for pair in judged for correct in pair}
    if len(counts) != 1 or counts == {0}:
        return gains, None
    of_images = np.mean([np.subtract(run, other) for run, other in judged], axis=0)
    return gains, interval(resample_weights(len(of_images)) @ of_images / len(of_images))


def write_table(runs: Runs, path: Path) -> str:
    """[`table`] as a file; returns its text."""
    text = table(runs)
    write_text(path, text)
    return text


def _cell(runs: list[dict], explainer: str, key: str) -> str:
    scale = COLUMNS[key][1]
    text = _spread([run["figures"][explainer].get(key, np.nan) for run in runs], scale)
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
