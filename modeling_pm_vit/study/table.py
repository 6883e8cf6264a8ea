"""The study's figures as tables: mean and standard deviation over the seeds, and differences from the control."""

import json
from pathlib import Path

import numpy as np

from .arms import ARMS, CONTROL

COLUMNS = {  # figure: head and scale
    "top1": ("Top-1", 100),
    "max_box_acc_v2": ("MaxBoxAccV2", 100),
    "grid_2x2": ("GridPG 2x2", 100),
    "energy_inside": ("Energy inside", 100),
    "pointing_game": ("Pointing game", 100),
    "sparseness": ("Sparseness", 100),
    "calibration_error": ("Calibration error", 100),
}

Figures = dict[str, dict[int, dict[str, float]]]  # by arm and seed


def read_figures(output: Path) -> Figures:
    """What [`run_arm`] has left in the study's folder, in the order of `ARMS`."""
    found: Figures = {}
    for name in ARMS:
        files = sorted((output / name).glob("seed-*.json"))
        if files:
            runs = [json.loads(file.read_text()) for file in files]
            found[name] = {run["seed"]: run["figures"] for run in runs}
    return found


def table(figures: Figures) -> str:
    """
    One row an arm, as Markdown: means over the seeds with their standard deviation (of single runs; none for one seed);
    for top-1 also the mean difference from the control on the same seeds.
    """
    heads = ["Mask loss", *(head for head, _ in COLUMNS.values()), "Top-1 gain", "Seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    control = figures.get(CONTROL, {})
    for name, runs in figures.items():
        cells = [_spread([run.get(key, np.nan) for run in runs.values()], scale) for key, (_, scale) in COLUMNS.items()]
        gains = [run["top1"] - control[seed]["top1"] for seed, run in runs.items() if seed in control]
        cells.append("" if name == CONTROL else _spread(gains, 100))
        lines.append("| " + " | ".join([ARMS[name].title, *cells, str(len(runs))]) + " |")
    return "\n".join(lines) + "\n"


def write_tables(output: Path) -> str:
    """`table.md` in the study's folder; returns its text."""
    text = table(read_figures(output))
    (output / "table.md").write_text(text, encoding="utf-8")
    return text


def _spread(values: list[float], scale: float) -> str:
    known = scale * np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return ""
    return f"{known.mean():.1f}" + (f" ± {known.std(ddof=1):.1f}" if len(known) > 1 else "")
