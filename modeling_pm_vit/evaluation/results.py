"""Values with intervals from an evaluation's records, and which of them are significantly the best."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..metrics.bootstrap import bootstrap, differ, interval
from ..metrics.metric import Metric, MetricValue, Records
from ..metrics.registry import METRICS
from ..utils.errors import InputError
from .evaluator import Evaluator

_AT_ONCE = 256  # images


@dataclass
class Result:
    """
    One cell of a table.

    Args:
        value: of the whole set.
        low, high: its 95 % bootstrap interval.
        count: number of images (or grid cells).
        per_image: `(count,)` the value of each image on its own; NaN where it has none. In localization each image is
            then at the threshold that is best for itself.
        images: `(count,)` their places in the evaluated set (for grids: the grid's number).
        best: better than every other explainer, where the interval of each paired difference excludes 0.
    """

    value: float
    low: float
    high: float
    count: int
    per_image: np.ndarray
    images: np.ndarray
    best: bool = False


Results = dict[str, dict[str, dict[str, Result]]]  # by metric, explainer and value


def collect_results(evaluator: Evaluator, held_out: Evaluator | None = None) -> Results:
    """
    The results of every metric that has records, of this call or earlier ones; with an evaluation of held-out images
    also those of metrics whose parameters are chosen on them.
    """
    results: Results = {}
    chosen = held_out.recorded if held_out is not None else {}
    for name, explainers in evaluator.recorded.items():
        metric = METRICS[name]
        records = {e: found for e in explainers if (found := evaluator.records(name, e))}
        if not records:
            continue
        results[name] = metric_results(metric, records)
        if held_out is not None and metric.held_out is not None:
            both = [e for e in records if e in chosen.get(name, [])]
            fixed = {e: held_out_records(name, records[e], held_out, e) for e in both}
            results[metric.held_out.metric.name] = metric_results(metric.held_out.metric, fixed)
    return results


def held_out_records(name: str, records: Records, held_out: Evaluator, explainer: str) -> Records:
    """
    Records of the metric at parameters that are chosen on held-out images.

    Args:
        name: of a metric that has `held_out`.
        records: of the evaluated images.
        held_out: the evaluation of the held-out images, run.
        explainer: whose records these are.

    Raises:
        InputError: if no held-out image could be evaluated.
    """
    derived, chosen_on = METRICS[name].held_out, held_out.records(name, explainer)
    if derived is None:
        raise TypeError(f"the metric {name!r} has nothing to choose on held-out images.")
    if chosen_on is None:
        raise InputError(f"no held-out image has what the metric {name!r} needs, so nothing can be chosen on them.")
    return derived.records(records, chosen_on)


def metric_results(metric: Metric, records: Mapping[str, Records]) -> dict[str, dict[str, Result]]:
    """The results of one metric from the records of each explainer."""
    samples = {explainer: bootstrap(metric, found) for explainer, found in records.items()}
    results: dict[str, dict[str, Result]] = {}
    for explainer, found in records.items():
        values = metric.values_of(found)
        images = found["image" if "image" in found else "grid"]
        single = _of_single_images(metric, found, len(images))
        results[explainer] = {
            value.name: Result(
                values[value.name],
                *interval(samples[explainer][value.name]),
                len(images),
                single[value.name],
                images,
            )
            for value in metric.values
        }
    for value in metric.values:
        _mark_best(value, results, samples)
    return results


def _of_single_images(metric: Metric, records: Records, count: int) -> dict[str, np.ndarray]:
    """The values `(images,)` of each image by itself; all images at once would need memory for their square."""
    parts = []
    for first in range(0, max(1, count), _AT_ONCE):
        some = {name: values[first : first + _AT_ONCE] for name, values in records.items()}
        parts.append(metric.summarize(some, np.eye(min(_AT_ONCE, count - first))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _mark_best(
    value: MetricValue, results: dict[str, dict[str, Result]], samples: dict[str, dict[str, np.ndarray]]
) -> None:
    """Explainers with exactly the same value are marked together: some differ in scale only."""
    key = value.name
    finite = {e: found[key].value for e, found in results.items() if np.isfinite(found[key].value)}
    if value.higher_is_better is None or len(finite) < 2:
        return
    best = (max if value.higher_is_better else min)(finite.values())
    leaders = [e for e, number in finite.items() if np.isclose(number, best, rtol=0, atol=1e-9)]
    others = [e for e in finite if e not in leaders]
    if others and all(differ(samples[leaders[0]][key], samples[e][key]) for e in others):
        for explainer in leaders:
            results[explainer][key].best = True
