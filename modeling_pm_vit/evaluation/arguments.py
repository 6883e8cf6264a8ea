"""The options of an evaluation."""

from dataclasses import dataclass, field, fields
from inspect import signature
from pathlib import Path
from typing import Literal

from ..explainers import Explainer
from ..explainers import explainers as all_explainers
from ..explainers.registry import EXPLAINERS, explainer_names
from ..explainers.rise import CELLS, KEPT, MASKS
from ..metrics.class_report import SPECIFICITY
from ..metrics.metric import MetricOptions
from ..metrics.registry import METRICS, metric_names
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.arguments import device_option, option, require_device
from ..utils.errors import InputError
from ..utils.threads import threads_option
from .data_arguments import DataOptions

_DATA, _COST, _SPEED = "data", "metrics and their cost", "speed"


@dataclass
class EvaluationArguments(DataOptions):
    """
    What to evaluate: see `pm-vit evaluate --help`. Python callers also have `model_class`, the class that loads the
    checkpoint.

    Raises:
        InputError: if an explainer or a metric is unknown (lists those that exist), or a limit is no number.
    """

    model: str = option(help="Folder or Hub id of a PM-ViT or a ViTForImageClassification.")
    output_dir: Path | None = option(
        None,
        help="Folder of the report and the records. Default: runs/evaluation/NAME, with the name of the model.",
        old_names=["--output"],
    )
    held_out_split: str | None = option(
        None, help="Also choose the thresholds of the localization metrics on this split.", group=_DATA
    )
    held_out_data: str | None = option(
        None, help="Source of --held_out_split, with the same columns. Default: --data.", group=_DATA
    )
    explainers: list[str] = option(
        default_factory=lambda: ["all"],
        help=f"Explainers to evaluate: all, or some of {', '.join(EXPLAINERS)}.",
        group=_COST,
        metavar="NAME",
    )
    metrics: list[str] = option(
        default_factory=lambda: ["all"],
        help=f"Metrics: all, or some of {', '.join(METRICS)}.",
        group=_COST,
        metavar="NAME",
        old_names=["--protocols"],
    )
    max_samples: int | None = option(
        None,
        at_least=1,
        help="Evaluate on N images, drawn at random. Default: all; 1,000 of the built-in images.",
        group=_COST,
        old_names=["--max-images"],
    )
    limit: list[str] = option(
        default_factory=list,
        help="Fewer images for expensive metrics, such as insertion_deletion=50.",
        group=_COST,
        metavar="METRIC=N",
    )
    specificity: float = option(
        SPECIFICITY,
        at_least=0,
        at_most=1,
        help="Specificity at which the recall (sensitivity) of each class is reported: the share of the images without "
        "the class that are not taken for it.",
        group=_COST,
    )
    num_grids: int = option(
        60, at_least=1, help="Number of grids of the grid pointing games.", group=_COST, old_names=["--grids"]
    )
    step_rows: int = option(
        1,
        at_least=1,
        help="Insertion and deletion: pixels per step, in rows of the image. The published protocol has 1.",
        group=_COST,
    )
    tie_orders: int = option(
        MetricOptions.tie_orders,
        at_least=0,
        help="Perturbation, insertion, deletion and ROAD: average over N random orders of pixels of equal value, and "
        "report the spread. 0: the one order of the authors' code.",
        group=_COST,
    )
    sensitivity_samples: int = option(
        MetricOptions.sensitivity_samples,
        at_least=1,
        help="Number of draws of noise of max-sensitivity; each explains the image once more.",
        group=_COST,
    )
    rise_masks: int = option(MASKS, at_least=1, help="Number of random masks of RISE.", group=_COST)
    rise_cells: int = option(CELLS, at_least=2, help="Cells along a side of a mask of RISE.", group=_COST)
    rise_kept: float = option(
        KEPT, at_least=0.01, at_most=0.99, help="Share of the cells that a mask of RISE keeps.", group=_COST
    )
    integration_steps: int = option(50, at_least=1, help="Number of steps of integrated gradients.", group=_COST)
    rollout_start_layer: int = option(
        0,
        at_least=0,
        help="First layer of rollout: 0 in the paper, 1 in Chefer et al.'s scripts.",
        group=_COST,
    )
    legrad_layers: int | None = option(
        None,
        at_least=1,
        help="Number of layers of LeGrad, the last ones: all by default, 2 in the authors' package.",
        group=_COST,
    )
    image_size: int | None = option(
        None,
        at_least=1,
        help="Height and width of the input in pixels, a multiple of the patch size: a larger one gives finer maps. "
        "Default: that of the model.",
        group=_COST,
    )
    seed: int = option(0, help="Seed of the choice of images and grids.", group=_COST)
    batch_size: int = option(16, at_least=1, help="Images in a batch.", group=_SPEED)
    num_threads: int | None = threads_option(_SPEED)
    device: str = device_option(_SPEED)
    precision: Literal["fp32", "bf16"] = option("fp32", help="Precision of the model's matrix products.", group=_SPEED)
    model_class: type[PMViTForImageClassification] = field(
        default=PMViTForImageClassification, metadata={"hidden": True}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_device(self.device)
        self.explainers, self.metrics = list(explainer_names(self.explainers)), list(metric_names(self.metrics))
        if self.held_out_split is not None and not any(METRICS[name].held_out for name in self.metrics):
            names = ", ".join(name for name, metric in METRICS.items() if metric.held_out)
            raise InputError(f"--held_out_split chooses thresholds of the metric {names}: add it to --metrics.")
        self.limits = dict(_limit(text) for text in self.limit)

    @property
    def metric_options(self) -> MetricOptions:
        return MetricOptions(**{field.name: getattr(self, field.name) for field in fields(MetricOptions)})

    @property
    def methods(self) -> dict[str, Explainer]:
        """The explainers that were asked for, with their settings."""
        names = signature(all_explainers).parameters
        known = all_explainers(**{name: getattr(self, name) for name in names})
        return {name: method for name, method in known.items() if name in self.explainers}

    @property
    def folder(self) -> Path:
        """Where the report is written."""
        return self.output_dir or Path("runs") / "evaluation" / Path(self.model).name


def _limit(text: str) -> tuple[str, int]:
    given, _, number = text.partition("=")
    if not number.isdigit() or int(number) < 1:
        raise InputError(f"--limit takes METRIC=N with the name of a metric and N at least 1, got {text!r}.")
    (name,) = metric_names([given])
    return name, int(number)
