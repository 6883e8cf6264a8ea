"""The tables of all results: means and standard deviations over the seeds, and paired differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..spread import spread

Results = Mapping[str, Mapping[int, Mapping[str, float]]]  # the values of a study, by variant and seed
BASELINE = "plain-vit"
_OF_CLASS = (
    *("recall", "precision", "auroc", "sensitivity_at_specificity"),
    *("object_found", "outline_iou", "outline_iou_if_recognised", "outline_iou_if_missed"),
)
_SHORTCUTS = ("map_off", "evidence_off", "area_off", "right_hidden")


def values_of(found: Mapping[str, Any]) -> dict[str, float]:
    """The values of one training, in the order of the table; what is not known is left out."""
    summary, calibration, shortcuts = found["summary"], found["calibration"], found["shortcuts"]
    values = {name: summary["evaluation"].get(name) for name in ("accuracy", "balanced_accuracy", "auroc")}
    for name, of in summary["classes"].items():
        values |= {f"{name}: {value}": of["evaluation"].get(value) for value in _OF_CLASS}
    for kind, of in calibration["values"].items():
        for value in ("temperature", "calibration_error_before", "calibration_error_after"):
            values[f"{kind}: {value}"] = of[value]
    confidence = calibration["confidence"]
    sources = list(next(iter(confidence["auroc"].values())))
    for source in sources:
        for score, areas in confidence["auroc"].items():
            values[f"AUROC against {source}: {score}"] = areas[source] and areas[source][0]
    values |= {f"{name} at the threshold": confidence[name] for name in ("coverage", "precision")}
    values |= {f"below the threshold: {source}": share for source, share in confidence["refused"].items()}
    values |= {f"named, but seen nowhere: {source}": share for source, share in confidence["seen_nowhere"].items()}
    for of in shortcuts["classes"]:
        values |= {f"shortcuts, {of['name']}: {value}": (of["values"].get(value) or [None])[0] for value in _SHORTCUTS}
    return {name: value for name, value in values.items() if value is not None and np.isfinite(value)}


def table(results: Results) -> list[list[str]]:
    """
    A row for each value: mean ± standard deviation of each variant, and of its difference from the equally trained ViT
    with the same seed.
    """
    others = [variant for variant in results if variant != BASELINE] if BASELINE in results else []
    rows = [["", *results, *(f"{variant} - {BASELINE}" for variant in others), "seeds"]]
    names = dict.fromkeys(name for seeds in results.values() for values in seeds.values() for name in values)
    for name in names:
        found = {
            variant: {seed: values[name] for seed, values in seeds.items() if name in values}
            for variant, seeds in results.items()
        }
        cells = [spread(list(of.values()), 3, "-") for of in found.values()]
        for variant in others:
            own, baseline = found[variant], found[BASELINE]
            cells.append(spread([own[seed] - baseline[seed] for seed in own if seed in baseline], 3, "-"))
        rows.append([name, *cells, ", ".join(sorted({str(len(of)) for of in found.values()}))])
    return rows
