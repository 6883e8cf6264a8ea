"""Results as Markdown, CSV and JSON."""

import csv
import io
from collections.abc import Mapping

import numpy as np

from ..explainers import Explainer
from ..metrics.metric import Figure
from .evaluator import CLASSIFIER
from .results import REPORTED, Result, Results

Cell = tuple[str, bool]  # text, bold


def protocol_table(name: str, results: Results, explainers: Mapping[str, Explainer]) -> list[list[Cell]]:
    """The head and one row an explainer; a figure with its interval, the best in bold."""
    figures = REPORTED[name].figures
    rows: list[list[Cell]] = [[("", False), *((_head(figure), False) for figure in figures), ("n", False)]]
    for explainer, found in results[name].items():
        title = "The classifier" if explainer == CLASSIFIER else explainers[explainer].title
        cells = [(_text(found[figure.name], figure), found[figure.name].best) for figure in figures]
        count = max(result.count for result in found.values())
        rows.append([(title, False), *cells, (str(count), False)])
    return rows


def cost_table(costs: Mapping[str, Mapping], explainers: Mapping[str, Explainer]) -> list[list[Cell]]:
    """Declared passes, and measured time in plain forward passes."""
    head = ["", "Forward passes", "Backward passes", "Time in plain forward passes", "Depends on the class", "Source"]
    rows = [[(text, False) for text in head]]
    for name, explainer in explainers.items():
        cost = costs.get(name)
        measured = f"{cost['ratio']:.2f} [{cost['low']:.2f}, {cost['high']:.2f}]" if cost else "not measured"
        depends = "yes" if explainer.depends_on_class else "no"
        row = [explainer.title, str(explainer.forward_passes), str(explainer.backward_passes), measured, depends]
        rows.append([(text, False) for text in [*row, explainer.source]])
    return rows


def markdown(table: list[list[Cell]]) -> str:
    lines = ["| " + " | ".join(f"**{text}**" if bold else text for text, bold in row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]]) + "\n"


def comma_separated(results: Results) -> str:
    """One line a figure."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["protocol", "figure", "explainer", "value", "low", "high", "n", "higher_is_better", "best"])
    for protocol, figure, explainer, result in _cells(results):
        row = [result.value, result.low, result.high, result.count, figure.higher_is_better, result.best]
        writer.writerow([protocol, figure.name, explainer, *row])
    return file.getvalue()


def as_json(results: Results) -> dict:
    """Everything, the figures of single images included; NaN becomes `null`."""
    document: dict = {}
    for protocol, figure, explainer, result in _cells(results):
        document.setdefault(protocol, {}).setdefault(explainer, {})[figure.name] = {
            "value": _number(result.value),
            "low": _number(result.low),
            "high": _number(result.high),
            "n": result.count,
            "best": result.best,
            "images": result.images.tolist(),
            "per_image": [_number(value) for value in result.per_image.tolist()],
        }
    return document


def _cells(results: Results):
    for protocol, explainers in results.items():
        for explainer, found in explainers.items():
            for figure in REPORTED[protocol].figures:
                yield protocol, figure, explainer, found[figure.name]


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _head(figure: Figure) -> str:
    return figure.title + {True: " ↑", False: " ↓", None: ""}[figure.higher_is_better]


def _text(result: Result, figure: Figure) -> str:
    if not np.isfinite(result.value):
        return "-"
    digits = 1 if figure.scale >= 10 else 3
    value, low, high = (figure.scale * number for number in (result.value, result.low, result.high))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
