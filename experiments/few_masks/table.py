"""The variants of a dataset in a table: values, and paired differences from the control."""

from collections.abc import Sequence

import numpy as np

from modeling_pm_vit.evaluation.evaluator import CLASSIFIER
from modeling_pm_vit.metrics.bootstrap import bootstrap, interval
from modeling_pm_vit.metrics.metric import Metric, Records
from modeling_pm_vit.metrics.registry import METRICS

from .plan import Plan, Run

_OF_VALUE = {value.name: (metric, value) for metric in METRICS.values() for value in metric.values}


def read_records(run: Run, metric: Metric, explainer: str = "pm-vit") -> Records | None:
    """The records that the evaluation of a run has written, in the order of the images; `None` if there are none."""
    folder = run.folder / "evaluation" / "records" / metric.name / (explainer if metric.needs_explainer else CLASSIFIER)
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            if file.files:
                parts.append({name: file[name] for name in file.files})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else None


def comparison(plan: Plan, runs: Sequence[Run], dataset: str) -> list[list[str]]:
    """
    A row for each variant with at least one evaluated run. A cell has the mean over the seeds and, below the control,
    the difference from it on the seeds that both have, with its 95 % interval over the images (seeds fixed). The
    differences are paired, except for grids, which each model fills with images that it classifies confidently.
    """
    rows = [["", "seeds", *(_OF_VALUE[name][1].title for name in plan.values)]]
    control, *_ = plan.variants
    of_variant = {v: [run for run in runs if (run.dataset, run.variant) == (dataset, v)] for v in plan.variants}
    for variant, members in of_variant.items():
        cells, seeds = [], set()
        for name in plan.values:
            metric, value = _OF_VALUE[name]
            found = {run.seed: records for run in members if (records := read_records(run, metric)) is not None}
            seeds |= set(found)
            if not found:
                cells.append("")
                continue
            mean = np.mean([metric.values_of(records)[name] for records in found.values()])
            others = {run.seed: read_records(run, metric) for run in of_variant[control] if run.seed in found}
            pairs = [(found[seed], other) for seed, other in others.items() if other is not None]
            text = f"{value.scale * mean:.1f}"
            cells.append(text + ("" if variant == control or not pairs else _difference(metric, name, pairs)))
        if seeds:
            rows.append([variant, ", ".join(map(str, sorted(seeds))), *cells])
    return rows


def _difference(metric: Metric, name: str, pairs: Sequence[tuple[Records, Records]]) -> str:
    scale = _OF_VALUE[name][1].scale
    values, samples = [], []
    for ours, others in pairs:
        values.append(metric.values_of(ours)[name] - metric.values_of(others)[name])
        other_seed = 1 if metric.grid else 0  # grids are not paired
        samples.append(bootstrap(metric, ours)[name] - bootstrap(metric, others, seed=other_seed)[name])
    low, high = interval(np.mean(samples, axis=0))
    return f" ({scale * np.mean(values):+.1f} [{scale * low:+.1f}, {scale * high:+.1f}])"
