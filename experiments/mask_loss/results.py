"""The results of a variant and seed on disk, `NAME/seed-N.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

from modeling_pm_vit.explainers.registry import RENAMED_EXPLAINERS
from modeling_pm_vit.metrics.former_names import RENAMED_VALUES

from .variants import VARIANTS

Runs = dict[str, dict[int, dict]]  # by variant and seed, the content of the file

_OLD_KEYS = {"arm": "variant", "figures": "values"}


def read_runs(output: Path) -> Runs:
    """All results in the folder of an experiment, in the order of `VARIANTS`."""
    found: Runs = {}
    for name in VARIANTS:
        files = sorted((output / name).glob("seed-*.json"))
        if files:
            runs = [read_run(file) for file in files]
            found[name] = {run["seed"]: run for run in runs}
    return found


def read_run(file: Path) -> dict:
    """
    The content of one file: `variant`, `seed`, `flags` and `config` of the training, `top1`, `values` and `intervals`
    by explainer and name, `correct` of each evaluated image. Files written under older names are read as well.
    """
    run = _renamed(json.loads(file.read_text(encoding="utf-8")), _OLD_KEYS)
    for key in ("values", "intervals"):
        if key in run:
            by_explainer = _renamed(run[key], RENAMED_EXPLAINERS)
            run[key] = {explainer: _renamed_values(values) for explainer, values in by_explainer.items()}
    return run


def _renamed(content: Mapping, names: Mapping[str, str]) -> dict:
    return {names.get(key, key): value for key, value in content.items()}


def _renamed_values(values: Mapping) -> dict:
    """Values of held-out images have the same names after a prefix."""
    prefix = "held_out_"
    return {
        prefix + RENAMED_VALUES.get(key.removeprefix(prefix), key.removeprefix(prefix))
        if key.startswith(prefix)
        else RENAMED_VALUES.get(key, key): value
        for key, value in values.items()
    }
