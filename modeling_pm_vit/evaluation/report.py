"""The report of an evaluation: one folder with tables, every value, curves, pictures and a page that shows them."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ..explainers import EXPLAINERS, Explainer
from ..metrics.bootstrap import RESAMPLES
from ..metrics.class_report import SPECIFICITY
from ..metrics.registry import METRICS, reported_metrics
from ..reporting.class_summary import FEW_CLASSES, summary_lines, summary_table
from ..utils.files import write_json, write_text
from ..utils.html import write_page
from ..utils.tables import Bold, markdown_table
from .class_results import class_results
from .cost import explanation_costs
from .evaluator import CLASSIFIER, Evaluator
from .explained import ClassifiedBatch
from .plots import curve_plot, explanation_sheet
from .results import Results, collect_results
from .tables import as_json, comma_separated, cost_table, metric_table

_LIBRARIES = ("torch", "transformers", "numpy", "captum", "grad-cam", "scikit-learn", "opencv-python")
_SHEET_IMAGES, _TIMED_IMAGES = 6, 4

Pictures = dict[str, list[tuple[str, str]]]  # files and captions, by the metric they belong to


def write_report(
    evaluator: Evaluator,
    folder: Path,
    names: list[str],
    title: str,
    settings: Mapping[str, Any],
    held_out: Evaluator | None = None,
    specificity: float = SPECIFICITY,
) -> Results:
    """
    Write `index.html`, `report.md`, `values.csv`, `results.json`, the confusion matrix, curves and the sheet of
    explanations.

    Args:
        evaluator: that has run.
        folder: of the report; created if needed.
        names: of the classes.
        title: of the page.
        settings: of the evaluation, as they are printed.
        held_out: of the images on which thresholds are chosen; has run.
        specificity: at which the recall of each class is reported.

    Returns:
        The results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = collect_results(evaluator, held_out)
    explainers = {name: e for name, e in EXPLAINERS.items() if any(name in found for found in results.values())}
    explainers |= evaluator.plan.explainers
    timed = evaluator.batch(range(min(_TIMED_IMAGES, len(evaluator.indices))))
    costs = _earlier_costs(folder)
    costs |= explanation_costs(evaluator.plan.explainers, evaluator.classifier.model, timed.pixel_values)
    summary = class_results(evaluator, folder, names, specificity)
    hidden = ("top5",) if len(names) <= FEW_CLASSES else ()
    tables = {name: metric_table(name, results, explainers, hidden) for name in results}
    tables["cost"] = cost_table(costs, explainers)
    notes = _notes(evaluator, settings, folder if held_out is None else None)
    recorded = evaluator.recorded
    variants = {name: _variant(name, evaluator, recorded.get(name, []), explainers) for name in tables}
    pictures = _pictures(evaluator, folder, names)

    write_text(folder / "values.csv", comma_separated(results))
    document = {
        "settings": dict(settings),
        "versions": _versions(),
        "variants": variants,
        "not_evaluated": evaluator.not_evaluated,
        "bootstrap": {"resamples": RESAMPLES, "level": 0.95, "seed": 0},
        "costs": costs,
        "summary": summary,
        "said_first": summary_lines(summary),
        "results": as_json(results),
        "images": evaluator.indices.tolist(),
    }
    write_json(folder / "results.json", document)
    first = summary_table(summary)
    matrix, caption = "confusion_matrix.png", "Confusion matrix; colour: share of the true class."
    head = [*summary_lines(summary), markdown_table(first), f"![{caption}]({matrix})"]
    write_text(folder / "report.md", _markdown(title, [*head, *notes], variants, tables, pictures))
    images = [{"source": matrix, "caption": caption, "wide": True}]
    cards: list[dict[str, Any]] = [{"title": "Each class", "table": first, "images": images}]
    for name, table in tables.items():
        images = [{"source": file, "caption": caption, "wide": True} for file, caption in pictures.get(name, [])]
        cards.append({"title": _title(name), "text": variants[name], "table": table, "images": images})
    sheet = [{"source": file, "caption": caption, "wide": True} for file, caption in pictures.get("sheet", [])]
    cards.insert(1, {"title": "Explanations", "images": sheet})
    write_page(folder / "index.html", title, cards, notes=[*summary_lines(summary), *notes])
    return results


def _earlier_costs(folder: Path) -> dict[str, dict[str, float]]:
    """Of explainers of earlier calls."""
    file = folder / "results.json"
    return json.loads(file.read_text(encoding="utf-8"))["costs"] if file.exists() else {}


def _notes(evaluator: Evaluator, settings: Mapping[str, Any], folder: Path | None) -> list[str]:
    missing: list[str] = [Bold(sentence) for sentence in evaluator.not_evaluated]
    if folder is not None and (folder / "held-out").exists():
        missing.append("Thresholds that were chosen on held-out images are reported with --held_out_split alone.")
    return [
        f"{len(evaluator.indices)} images of {len(evaluator.rows)}, drawn at random with seed "
        f"{evaluator.plan.seed}. n: number of images, or cells of grids, that the metric could evaluate. In "
        f"brackets: 95 % bootstrap intervals over images ({RESAMPLES} resamples). Bold: better than every other "
        "explainer; the interval of each paired difference excludes 0. Arrows: the better direction.",
        "On a PM-ViT the patch logits are the logits of PM-ViT's probabilities, so both rank patches alike. On a ViT "
        "that was not trained with masks, both apply the image classifier to patches that it was not trained on.",
        *missing,
        f"Settings: {_told(settings)}.",
        f"Versions: {_told(_versions())}.",
    ]


def _pictures(evaluator: Evaluator, folder: Path, names: list[str]) -> Pictures:
    pictures: Pictures = {}
    methods = {**EXPLAINERS, **evaluator.plan.explainers}
    titles = {CLASSIFIER: "The classifier"} | {name: e.title for name, e in methods.items()}
    for name, recorded in evaluator.recorded.items():
        curves = METRICS[name].curves
        records = {titles[e]: found for e in recorded if (found := evaluator.records(name, e))}
        if curves is not None and records:
            curve_plot(folder / f"{name}.png", curves, records)
            pictures[name] = [(f"{name}.png", "Means over the images.")]
    places = _shown(evaluator)
    if len(places):
        classified = ClassifiedBatch(evaluator.classifier, evaluator.batch(places))
        explanation_sheet(classified, evaluator.plan.explainers, names).save(folder / "explanations.png")
        caption = "Maps of the true class: probabilities on their own scale, all others stretched to their range."
        pictures["sheet"] = [("explanations.png", caption)]
    return pictures


def _shown(evaluator: Evaluator) -> np.ndarray:
    """The first images of different classes, then the first ones."""
    _, first = np.unique(evaluator.labels, return_index=True)
    rest = np.setdiff1d(np.arange(len(evaluator.labels)), first)
    return np.concatenate([np.sort(first), rest])[:_SHEET_IMAGES]


def _markdown(
    title: str,
    notes: list[str],
    variants: Mapping[str, str],
    tables: Mapping[str, list[list[str]]],
    pictures: Pictures,
) -> str:
    parts = [f"# {title}", *(f"**{note}**" if isinstance(note, Bold) else note for note in notes)]
    for file, caption in pictures.get("sheet", []):
        parts.append(f"![{caption}]({file})\n\n{caption}")
    for name, table in tables.items():
        parts += [f"## {_title(name)}", variants[name], markdown_table(table)]
        parts += [f"![{caption}]({file})" for file, caption in pictures.get(name, [])]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _title(name: str) -> str:
    return "Cost" if name == "cost" else reported_metrics()[name].title


def _variant(name: str, evaluator: Evaluator, recorded: list[str], explainers: Mapping[str, Explainer]) -> str:
    """What the table holds, and the settings of its records."""
    if name == "cost":
        return (
            "Passes as declared, for one class of one image. Time to explain a small batch, in forward passes of the "
            "ViTForImageClassification with the same weights, measured in turn: median [its 95 % interval]."
        )
    told = [_told(evaluator.store.settings(name) or {})]
    for explainer in recorded:
        own = _told(evaluator.store.settings(name, explainer) or {})
        told.append(f"{explainers[explainer].title}: {own}" if own else "")
    settings = "; ".join(filter(None, told))
    return reported_metrics()[name].variant + (f" Settings: {settings}." if settings else "")


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value not in (None, {}, ""))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("pm-vit", *_LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
