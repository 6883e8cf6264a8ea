"""The options of `pm-vit calibrate`."""

from dataclasses import dataclass
from typing import ClassVar

from ...confidence_pm_vit import CONFIDENCE_SCORES, DISTANCE_SCORES
from ...data.sources import SYNTHETIC
from ...utils.arguments import option
from ...utils.errors import InputError
from ..report_arguments import ReportOptions
from .unknown_images import DRAWINGS, LEFT_OUT, NOISE

_DOUBT = "when the model does not know"


@dataclass(kw_only=True)
class CalibrationArguments(ReportOptions):
    """What to calibrate, and on which images: see `pm-vit calibrate --help`."""

    reports: ClassVar[str] = "calibration"

    model: str = option(help="Folder of a trained PM-ViT. Its config.json is changed.", positional=True)
    split: str = option(
        "validation",
        help="Split to fit on: images that the model was not trained on, and not those that results are reported on.",
        group="data",
    )
    max_samples: int | None = option(
        None, at_least=2, help="Fit on N images, drawn at random. Default: all; 1,000 of the built-in images."
    )
    report_only: bool = option(
        False, help="Change nothing: report how the stored values do on this split, such as the test split."
    )
    score: str = option(
        "auto",
        help="How sure the model is of an image. auto: the score that best tells right answers from wrong ones, and "
        "the images of the split from the unknown ones.",
        choices=("auto", *CONFIDENCE_SCORES, *DISTANCE_SCORES),
        group=_DOUBT,
    )
    coverage: float = option(
        0.95,
        at_least=0.01,
        at_most=1,
        help="Store the threshold that this fraction of the images of the split reaches; the others are 'unsure'.",
        group=_DOUBT,
    )
    precision: float | None = option(
        None,
        at_least=0.01,
        at_most=1,
        help="Instead of --coverage: the lowest threshold from which this fraction of the answers is right.",
        group=_DOUBT,
    )
    unknown: list[str] = option(
        default_factory=lambda: [NOISE, DRAWINGS],
        help="Images that the model cannot know: noise, drawings (the built-in images), left_out (those of "
        "--leave_out_classes in --split), folders or Hub ids; or none.",
        metavar="SOURCE",
        group=_DOUBT,
    )
    unknown_split: str = option("test", help="Split of the sources in --unknown.", group=_DOUBT)
    unknown_samples: int = option(200, at_least=1, help="Images of each source in --unknown.", group=_DOUBT)
    reference_split: str | None = option(
        None,
        help="Split that the model was trained on: also try two distances of features from it, mahalanobis and "
        "nearest_neighbours. What the chosen one needs is stored with the weights.",
        group=_DOUBT,
    )
    reference_samples: int = option(600, at_least=2, help="Images of --reference_split.", group=_DOUBT)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.unknown = [source for source in self.unknown if source != "none"]
        if self.score in DISTANCE_SCORES and self.reference_split is None and not self.report_only:
            raise InputError(f"--score {self.score}: name the split of the training with --reference_split.")
        if LEFT_OUT in self.unknown and not self.leave_out_classes:
            raise InputError(f"--unknown {LEFT_OUT}: name the classes with --leave_out_classes.")
        if self.data == SYNTHETIC and DRAWINGS in self.unknown:
            self.unknown.remove(DRAWINGS)  # they are what the model was trained on
