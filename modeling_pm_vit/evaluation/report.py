"""An evaluation's report: one folder with tables, every single figure, curves, pictures and a page that shows them."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape

from ..metrics.bootstrap import RESAMPLES
from ..utils.files import write_json, write_text
from ..utils.html import write_page
from .cost import explanation_costs
from .evaluator import Evaluation
from .explained import ClassifiedBatch
from .plots import curve_plot, explanation_sheet, mean_curves
from .results import REPORTED, Results, collect_results
from .tables import Cell, as_json, comma_separated, cost_table, markdown, protocol_table

_LIBRARIES = ("torch", "transformers", "numpy", "captum", "grad-cam", "scikit-learn", "opencv-python")
_SHEET_IMAGES, _TIMED_IMAGES = 6, 4


def write_report(
    evaluation: Evaluation,
    folder: Path,
    names: list[str],
    title: str,
    settings: Mapping,
    held_out: Evaluation | None = None,
) -> Results:
    """
    Write `index.html`, `report.md`, `figures.csv`, `results.json`, curves and the sheet of explanations.

    Args:
        evaluation: with its records made.
        folder: of the report; made if it is not there.
        names: of the classes.
        title: of the page.
        settings: what was asked for, as it shall be printed.
        held_out: of the images on which thresholds are chosen, with its records made.

    Returns:
        The results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = collect_results(evaluation, held_out)
    explainers = evaluation.plan.explainers
    timed = evaluation.batch(range(min(_TIMED_IMAGES, len(evaluation.indices))))
    costs = explanation_costs(explainers, evaluation.subject.model, timed.pixel_values)
    tables = {name: protocol_table(name, results, explainers) for name in results}
    tables["cost"] = cost_table(costs, explainers)
    notes = _notes(evaluation, settings)
    pictures = _pictures(evaluation, folder, names)

    write_text(folder / "figures.csv", comma_separated(results))
    document = {
        "settings": dict(settings),
        "versions": _versions(),
        "variants": {name: REPORTED[name].variant for name in results},
        "bootstrap": {"resamples": RESAMPLES, "level": 0.95, "seed": 0},
        "costs": costs,
        "results": as_json(results),
        "images": evaluation.indices.tolist(),
    }
    write_json(folder / "results.json", document)
    write_text(folder / "report.md", _markdown(title, notes, tables, pictures))
    cards = []
    for name, table in tables.items():
        images = [{"source": file, "caption": caption, "wide": True} for file, caption in pictures.get(name, [])]
        cards.append({"title": _title(name), "text": _variant(name), "table": _html(table), "images": images})
    sheet = [{"source": file, "caption": caption, "wide": True} for file, caption in pictures.get("sheet", [])]
    write_page(folder / "index.html", title, [{"title": "Explanations", "images": sheet}, *cards], notes=notes)
    return results


def _notes(evaluation: Evaluation, settings: Mapping) -> list[str]:
    told = ", ".join(f"{name} {value}" for name, value in settings.items() if value not in (None, {}, ""))
    used = ", ".join(f"{name} {number}" for name, number in _versions().items())
    return [
        f"{len(evaluation.indices)} images of {len(evaluation.dataset)}, drawn at random with seed "
        f"{evaluation.plan.seed}. n: how many images, or cells of grids, a protocol could judge. In brackets: 95 % "
        f"bootstrap intervals over images ({RESAMPLES} resamples). Bold: better than every other explainer, the "
        "interval of each paired difference leaving 0 out. Arrows: the better direction.",
        "On a PM-ViT the prediction map is the logit of PM-ViT's own probability, so that the two rank patches alike; "
        "on a ViT that was not trained with masks, both are the untrained classifier on patches.",
        f"Settings: {told}.",
        f"Versions: {used}.",
    ]


def _pictures(evaluation: Evaluation, folder: Path, names: list[str]) -> dict[str, list[tuple[str, str]]]:
    """Files and captions, by the protocol they belong to."""
    pictures: dict[str, list[tuple[str, str]]] = {}
    titles = {name: explainer.title for name, explainer in evaluation.plan.explainers.items()}
    tests = {
        "perturbation": (
            {"Negative (true class)": "negative_target", "Positive (true class)": "positive_target"},
            ("share of the pixels turned black", "top-1 accuracy"),
        ),
        "insertion_deletion": (
            {"Insertion": "insertion", "Deletion": "deletion"},
            ("share of the pixels changed", "probability of the predicted class"),
        ),
    }
    for protocol, (curves, axes) in tests.items():
        if protocol not in evaluation.plan.protocols:
            continue
        records = {e: found for e in titles if (found := evaluation.records(protocol, e))}
        if records:
            file = f"{protocol}.png"
            curve_plot(folder / file, {t: mean_curves(records, key, titles) for t, key in curves.items()}, *axes)
            pictures[protocol] = [(file, "Means over the images.")]
    places = _shown(evaluation)
    if len(places):
        judged = ClassifiedBatch(evaluation.subject, evaluation.batch(places))
        explanation_sheet(judged, evaluation.plan.explainers, names).save(folder / "explanations.png")
        caption = "Maps of the true class: probabilities on their own scale, all others stretched to their range."
        pictures["sheet"] = [("explanations.png", caption)]
    return pictures


def _shown(evaluation: Evaluation) -> np.ndarray:
    """The first images of different classes, then the first ones."""
    labels = np.array(evaluation.dataset[evaluation.columns.label])[evaluation.indices]
    _, first = np.unique(labels, return_index=True)
    rest = np.setdiff1d(np.arange(len(labels)), first)
    return np.concatenate([np.sort(first), rest])[:_SHEET_IMAGES]


def _markdown(title: str, notes: list[str], tables: dict, pictures: dict) -> str:
    parts = [f"# {title}", *notes]
    for file, caption in pictures.get("sheet", []):
        parts.append(f"![{caption}]({file})\n\n{caption}")
    for name, table in tables.items():
        parts += [f"## {_title(name)}", _variant(name), markdown(table)]
        parts += [f"![{caption}]({file})" for file, caption in pictures.get(name, [])]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _html(table: list[list[Cell]]) -> list[list]:
    return [[Markup("<b>{}</b>").format(text) if bold else escape(text) for text, bold in row] for row in table]


def _title(name: str) -> str:
    return "Cost" if name == "cost" else REPORTED[name].title


def _variant(name: str) -> str:
    if name == "cost":
        return (
            "Passes as declared, for one class of one image. Time: of explaining a small batch, in forward passes of "
            "the plain ViTForImageClassification of the same weights, measured in turn: median [its 95 % interval]."
        )
    return REPORTED[name].variant


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("pm-vit", *_LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
