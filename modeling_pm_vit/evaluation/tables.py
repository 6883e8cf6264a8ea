"""Results as tables, CSV and JSON."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from ..explainers import Explainer
from ..metrics.metric import MetricValue
from ..metrics.registry import reported_metrics
from ..utils.tables import Bold
from .evaluator import CLASSIFIER
from .results import Result, Results


def metric_table(
    name: str, results: Results, explainers: Mapping[str, Explainer], hidden: Collection[str] = ()
) -> list[list[str]]:
    """
    The head and one row per explainer: each value with its interval (and its spread), the best in bold; without the
    `hidden` values.
    """
    spreads = {value.spread_of: value.name for value in reported_metrics()[name].values if value.spread_of}
    values = [value for value in reported_metrics()[name].values if not value.spread_of and value.name not in hidden]
    rows = [["", *map(_head, values), "n"]]
    for explainer, found in results[name].items():
        title = "The classifier" if explainer == CLASSIFIER else explainers[explainer].title
        cells = [_cell(found[value.name], value, found.get(spreads.get(value.name, ""))) for value in values]
        count = max(result.count for result in found.values())
        rows.append([title, *cells, str(count)])
    return rows


def cost_table(costs: Mapping[str, Mapping[str, float]], explainers: Mapping[str, Explainer]) -> list[list[str]]:
    """Declared passes, and measured time in forward passes of the ViT baseline."""
    head = ["", "Forward passes", "Backward passes", "Time in plain forward passes", "Depends on the class", "Source"]
    rows = [head]
    for name, explainer in explainers.items():
        cost = costs.get(name)
        measured = f"{cost['ratio']:.2f} [{cost['low']:.2f}, {cost['high']:.2f}]" if cost else "not measured"
        depends = "yes" if explainer.depends_on_class else "no"
        passes = [
            ("~" if explainer.passes_vary else "") + str(explainer.forward_passes),
            str(explainer.backward_passes),
        ]
        row = [explainer.title, *passes, measured, depends]
        rows.append([*row, explainer.source])
    return rows


def comma_separated(results: Results) -> str:
    """One line per value."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["metric", "value_name", "explainer", "value", "low", "high", "n", "higher_is_better", "best"])
    for metric, value, explainer, result in _cells(results):
        row = [result.value, result.low, result.high, result.count, value.higher_is_better, result.best]
        writer.writerow([metric, value.name, explainer, *row])
    return file.getvalue()


def as_json(results: Results) -> dict[str, Any]:
    """Everything, the values of single images included; NaN becomes `null`."""
    document: dict[str, Any] = {}
    for metric, value, explainer, result in _cells(results):
        document.setdefault(metric, {}).setdefault(explainer, {})[value.name] = {
            "value": _number(result.value),
            "low": _number(result.low),
            "high": _number(result.high),
            "n": result.count,
            "best": result.best,
            "images": result.images.tolist(),
            "per_image": [_number(number) for number in result.per_image.tolist()],
        }
    return document


def _cells(results: Results) -> Iterator[tuple[str, MetricValue, str, Result]]:
    metrics = reported_metrics()
    for metric, explainers in results.items():
        for explainer, found in explainers.items():
            for value in metrics[metric].values:
                yield metric, value, explainer, found[value.name]


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _head(value: MetricValue) -> str:
    return value.title + {True: " ↑", False: " ↓", None: ""}[value.higher_is_better]


def _cell(result: Result, value: MetricValue, spread: Result | None = None) -> str:
    if not np.isfinite(result.value):
        return "-"
    digits = 1 if value.scale >= 10 else 3
    mean, low, high = (value.scale * number for number in (result.value, result.low, result.high))
    text = f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    if spread is not None and np.isfinite(spread.value):
        text += f" ± {value.scale * spread.value:.{digits}f}"
    return Bold(text) if result.best else text
