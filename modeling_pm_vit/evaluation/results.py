"""Figures with intervals from an evaluation's records, and which of them are really the best."""

from dataclasses import dataclass

import numpy as np

from ..metrics.bootstrap import bootstrap, differ, interval
from ..metrics.held_out_localization import HELD_OUT_LOCALIZATION, at_held_out_thresholds
from ..metrics.localization import LOCALIZATION
from ..metrics.metric import Figure, Protocol, Records
from .evaluator import CLASSIFIER, PROTOCOLS, Evaluation

REPORTED: dict[str, Protocol] = PROTOCOLS | {HELD_OUT_LOCALIZATION.name: HELD_OUT_LOCALIZATION}


@dataclass
class Result:
    """
    One cell of a table.

    Args:
        value: of the whole set.
        low, high: its 95 % bootstrap interval.
        count: of the images (or grid cells) behind it.
        per_image: `(count,)` the figure of each on its own; NaN where it has none. For localization each image is then
            at the threshold that is best for itself.
        images: `(count,)` their places in the evaluated set (in grids: the grid's number).
        best: better than every other explainer, the interval of each paired difference leaving 0 out.
    """

    value: float
    low: float
    high: float
    count: int
    per_image: np.ndarray
    images: np.ndarray
    best: bool = False


Results = dict[str, dict[str, dict[str, Result]]]  # by protocol, explainer and figure


def collect_results(evaluation: Evaluation, held_out: Evaluation | None = None) -> Results:
    """
    The results of every protocol of the plan that has records; with an evaluation of held-out images also those of
    localization at the thresholds that are best for these.
    """
    results: Results = {}
    for name in dict.fromkeys(("classification", *evaluation.plan.protocols)):
        explainers = [CLASSIFIER] if name == "classification" else list(evaluation.plan.explainers)
        records = {e: found for e in explainers if (found := evaluation.records(name, e))}
        if records:
            results[name] = protocol_results(PROTOCOLS[name], records)
        if records and held_out is not None and name == LOCALIZATION.name:
            fixed = {e: at_held_out_thresholds(found, held_out.records(name, e)) for e, found in records.items()}
            results[HELD_OUT_LOCALIZATION.name] = protocol_results(HELD_OUT_LOCALIZATION, fixed)
    return results


def protocol_results(protocol: Protocol, records: dict[str, Records]) -> dict[str, dict[str, Result]]:
    """The results of one protocol from the records of each explainer."""
    samples = {explainer: bootstrap(protocol, found) for explainer, found in records.items()}
    results: dict[str, dict[str, Result]] = {}
    for explainer, found in records.items():
        values = protocol.figures_of(found)
        images = found["image" if "image" in found else "grid"]
        single = protocol.summarize(found, np.eye(len(images)))
        results[explainer] = {
            figure.name: Result(
                values[figure.name],
                *interval(samples[explainer][figure.name]),
                len(images),
                single[figure.name],
                images,
            )
            for figure in protocol.figures
        }
    for figure in protocol.figures:
        _mark_best(figure, results, samples)
    return results


def _mark_best(
    figure: Figure, results: dict[str, dict[str, Result]], samples: dict[str, dict[str, np.ndarray]]
) -> None:
    """Explainers with the very same value share the mark: some differ in scale only."""
    values = {e: found[figure.name].value for e, found in results.items() if np.isfinite(found[figure.name].value)}
    if figure.higher_is_better is None or len(values) < 2:
        return
    best = (max if figure.higher_is_better else min)(values.values())
    leaders = [e for e, value in values.items() if np.isclose(value, best, rtol=0, atol=1e-9)]
    others = [e for e in values if e not in leaders]
    if others and all(differ(samples[leaders[0]][figure.name], samples[e][figure.name]) for e in others):
        for explainer in leaders:
            results[explainer][figure.name].best = True
