"""One self-contained HTML page of explanations."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .files import write_text
from .tables import Bold


def write_page(
    path: Path,
    title: str,
    cards: Sequence[dict[str, Any]],
    notes: Sequence[str] = (),
    table: Sequence[Sequence[str]] = (),
) -> Path:
    """
    Write a page that needs no other file than the images that it names.

    Args:
        path: of the page; missing folders are made.
        cards: each with a `title`, `images`, a list of `source` (relative to the page), `caption`, optionally `score`
            in [0, 1] (drawn as a bar) and `wide` (natural size), and optionally `failed`, a message, `text`, a
            paragraph, and `table`, as below.
        notes: paragraphs above the cards (`tables.Bold` for bold ones).
        table: rows of cells (`tables.Bold` for bold ones); the first row is the head.

    Returns:
        The path.
    """
    environment = Environment(
        loader=PackageLoader("modeling_pm_vit.utils", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.filters["unbroken"] = _unbroken
    environment.tests["bold"] = lambda cell: isinstance(cell, Bold)
    cards = [{"failed": None, "images": [], "text": "", "table": ()} | card for card in cards]
    for card in cards:
        card["images"] = [{"wide": False} | image for image in card["images"]]
    page = environment.get_template("page.html").render(title=title, cards=cards, notes=notes, table=table)
    return write_text(path, page)


def _unbroken(cell: str) -> str:
    """A number with its unit or interval, which is broken before the interval only; a text may be broken anywhere."""
    return re.sub(r"(?<=[\d,]) (?=[\d%±-])|(?<=±) ", "\N{NO-BREAK SPACE}", cell)
