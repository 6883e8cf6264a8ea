"""The options of `pm-vit shortcuts`."""

from dataclasses import dataclass
from typing import ClassVar

from ...explainers.registry import EXPLAINERS
from ...utils.arguments import option
from ..report_arguments import ReportOptions


@dataclass(kw_only=True)
class ShortcutArguments(ReportOptions):
    """Which images of which model to check: see `pm-vit shortcuts --help`."""

    reports: ClassVar[str] = "shortcuts"

    explainer: str = option(
        "relevance",
        help="Explainer that tells by what the model recognised the image, which its map does not: the map tells where "
        "the class is.",
        choices=EXPLAINERS,
        metavar="NAME",
    )
    examples: int = option(4, at_least=1, help="Pictures of each class: those with the most evidence off the object.")
    max_samples: int | None = option(
        None, at_least=1, help="Check N images, drawn at random. Default: all; 1,000 of the built-in images."
    )
