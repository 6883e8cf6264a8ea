"""The report of a calibration: tables, reliability diagrams and a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...utils.files import write_json, write_text
from ...utils.html import write_page
from ...utils.tables import Bold, markdown_table
from .confidence import WRONG, Confidence, as_json
from .reliability_plot import reliability_plot
from .temperatures import Calibration

Table = list[list[str]]

_TITLES = {"classes": "Probabilities of the classes", "maps": "Probabilities of the maps"}
_MEANING = {
    "classes": "Each image counts once: the probability of its most probable class, and whether that class is true.",
    "maps": "Each patch of an image with a mask counts once: the probability that the true class is there, and the "
    "fraction of the patch that its mask covers.",
}
_SCORES_TITLE = "Does it know what it does not know?"
_DOUBT_TITLE = "What is marked"


def write_report(
    folder: Path,
    title: str,
    found: Mapping[str, Calibration],
    confidence: Confidence,
    shown: Mapping[str, Any],
    settings: Mapping[str, Any],
    fitted: bool,
) -> list[Table]:
    """
    Write `index.html`, `report.md`, `calibration.json` and a reliability diagram of each kind of probability.

    Args:
        folder: created if needed.
        found: of the `classes`, and of the `maps` if there were masks.
        confidence: of the same images.
        shown: on what it was made, as it is printed.
        settings: of the configuration.
        fitted: whether the settings were found on these images; else they were stored before.

    Returns:
        The tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, calibration in found.items():
        reliability_plot(folder / f"{kind}.png", calibration)
    tables = [temperature_table(found), auroc_table(confidence), doubt_table(confidence)]
    notes = [
        "Calibration error: over 15 bins of equal width, the mean difference between the probability and how often it "
        "is true. Likelihood loss: negative log-likelihood in nats.",
        "After: each half of the images at the temperature that was fitted on the other half; the stored temperature "
        "was fitted on all of them."
        if fitted
        else "After: at the stored temperatures, which were not fitted here.",
        "Settings: " + ", ".join(f"{name} {value}" for name, value in shown.items() if value is not None) + ".",
    ]
    texts = [_scores_text(confidence, fitted), _doubt_text(confidence, fitted)]
    values = {kind: calibration.values for kind, calibration in found.items()}
    document = {"settings": dict(shown), "fitted": fitted, "stored": dict(settings), "values": values}
    write_json(folder / "calibration.json", document | {"confidence": as_json(confidence)})
    parts = [f"# {title}", markdown_table(tables[0]).strip(), *notes]
    parts += [f"## {_SCORES_TITLE}", texts[0], markdown_table(tables[1]).strip()]
    parts += [f"## {_DOUBT_TITLE}", texts[1], markdown_table(tables[2]).strip()]
    parts += [f"## {_TITLES[kind]}\n\n{_MEANING[kind]}\n\n![{_TITLES[kind]}]({kind}.png)" for kind in found]
    write_text(folder / "report.md", "\n\n".join(parts) + "\n")
    cards: list[dict[str, Any]] = [
        {"title": _SCORES_TITLE, "text": texts[0], "table": tables[1]},
        {"title": _DOUBT_TITLE, "text": texts[1], "table": tables[2]},
    ]
    caption = "Where the bars reach the diagonal, the probability is right."
    for kind in found:
        images = [{"source": f"{kind}.png", "caption": caption, "wide": True}]
        cards.append({"title": _TITLES[kind], "text": _MEANING[kind], "images": images})
    write_page(folder / "index.html", title, cards, notes=notes, table=tables[0])
    return tables


def temperature_table(found: Mapping[str, Calibration]) -> Table:
    """Temperatures and calibration before and after."""
    table = [["", "images", "temperature", "calibration error", "after", "likelihood loss", "after"]]
    for kind, calibration in found.items():
        values = calibration.values
        errors = [_percent(values[f"calibration_error_{when}"]) for when in ("before", "after")]
        losses = [f"{loss:.3f}" for loss in (calibration.loss_before, calibration.loss_after)]
        table.append([_TITLES[kind], str(calibration.images), f"{calibration.temperature:.3f}", *errors, *losses])
    return table


def auroc_table(confidence: Confidence) -> Table:
    """The area of each score (rows) on each set of images (columns); bold: the score that is stored."""
    sources = list(next(iter(confidence.auroc.values())))
    table = [["AUROC of the score", *sources]]
    for name, areas in confidence.auroc.items():
        cells = [_area(*areas[source]) for source in sources]
        table.append([Bold(cell) for cell in (name, *cells)] if name == confidence.score else [name, *cells])
    return table


def doubt_table(confidence: Confidence) -> Table:
    """The fraction of each set of images that is marked."""
    table = [["of the images", "below the threshold", "named, but seen nowhere"]]
    for source, refused in confidence.refused.items():
        table.append([source, _percent(refused), _percent(confidence.seen_nowhere[source])])
    return table


def _scores_text(confidence: Confidence, fitted: bool) -> str:
    chosen = (
        " In bold the one that is stored; it was chosen on these images: evaluate it on others with --report_only."
        if fitted
        else " In bold the one that was stored."
    )
    return (
        "AUROC in per cent: how probable it is that an image that the model knows has a higher score than one that it "
        f"does not know; 50 is chance. The column {WRONG!r} compares the images of the split that are classified right "
        "with the others, every other column all images of the split with images of another kind. In brackets: 95 % "
        "bootstrap intervals." + chosen
    )


def _doubt_text(confidence: Confidence, fitted: bool) -> str:
    return (
        f"The threshold of {confidence.score} is {confidence.threshold:.4g}. {_percent(confidence.coverage)} of the "
        f"images of the split reach it, and {_percent(confidence.precision)} of these are classified right"
        + ("; it was chosen on these images." if fitted else ".")
    )


def _area(area: float, low: float, high: float) -> str:
    return "" if area != area else f"{100 * area:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f} %"
