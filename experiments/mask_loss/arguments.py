"""The options of `python -m experiments.mask_loss`."""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import HfArgumentParser

from modeling_pm_vit.data.masks import MaskEncoding
from modeling_pm_vit.explainers.registry import EXPLAINERS, explainer_names
from modeling_pm_vit.metrics.registry import METRICS, metric_names
from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.utils.names import resolve_names

from .evaluation import EvaluationSettings
from .variants import VARIANTS

_DEFAULT = EvaluationSettings()
_RENAMED = {
    "--arms": "--variants",
    "--protocols": "--metrics",
    "--grids": "--num_grids",
    "--max_images": "--max_samples",
    "--judged_mask_column": "--eval_mask_column",
    "--judged_mask_encoding": "--eval_mask_encoding",
}


@dataclass
class ExperimentArguments:
    variants: list[str] = field(
        default_factory=lambda: list(VARIANTS),
        metadata={"help": f"Variants to train and evaluate (default: all): {', '.join(VARIANTS)}.", "metavar": "NAME"},
    )
    seeds: list[int] = field(
        default_factory=lambda: [0, 1, 2], metadata={"help": "Seeds of each variant (default: 0 1 2).", "metavar": "N"}
    )
    explainers: list[str] = field(
        default_factory=lambda: list(_DEFAULT.explainers),
        metadata={
            "help": f"Explainers to evaluate (default: {' '.join(_DEFAULT.explainers)}): {', '.join(EXPLAINERS)}.",
            "metavar": "NAME",
        },
    )
    metrics: list[str] = field(
        default_factory=lambda: list(_DEFAULT.metrics),
        metadata={
            "help": f"Metrics to compute (default: {' '.join(_DEFAULT.metrics)}): {', '.join(METRICS)}.",
            "metavar": "NAME",
        },
    )
    num_grids: int = field(
        default=_DEFAULT.num_grids,
        metadata={"help": f"Grids of each grid pointing game (default: {_DEFAULT.num_grids})."},
    )
    max_samples: int | None = field(
        default=None, metadata={"help": "Evaluate on so many images, drawn at random (default: all)."}
    )
    eval_mask_column: str | None = field(
        default=None,
        metadata={"help": "Mask column of the evaluation split, 'none' for none (default: --mask_column)."},
    )
    eval_mask_encoding: MaskEncoding | None = field(
        default=None, metadata={"help": "Mask encoding of the evaluation split (default: --mask_encoding)."}
    )
    held_out_split: str | None = field(
        default=None, metadata={"help": "Also choose the thresholds of localization on this split."}
    )
    output_dir: Path | None = field(
        default=None,
        metadata={"help": "Folder of the results (default: runs/mask_loss/NAME_OF_CONFIG).", "aliases": ["--output"]},
    )

    def __post_init__(self) -> None:
        self.variants = list(resolve_names(self.variants, VARIANTS, {}, "variant"))
        self.explainers = list(explainer_names(self.explainers))
        self.metrics = list(metric_names(self.metrics))

    @property
    def evaluation(self) -> EvaluationSettings:
        return EvaluationSettings(
            explainers=self.explainers,
            metrics=self.metrics,
            num_grids=self.num_grids,
            max_samples=self.max_samples,
            mask_column=self.eval_mask_column,
            mask_encoding=self.eval_mask_encoding,
            held_out_split=self.held_out_split,
        )


def parse_arguments(argv: Sequence[str], description: str) -> tuple[ExperimentArguments, list[str]]:
    """
    Returns:
        The experiment's own options, with `output_dir` set, and the flags of the training, whose first is the config.

    Raises:
        InputError: if there is no config, a name is unknown, or an option has its old name.
    """
    parser = HfArgumentParser(
        ExperimentArguments,
        prog="python -m experiments.mask_loss",
        usage="%(prog)s CONFIG [options] [options of `pm-vit train`]",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    arguments, flags = parser.parse_args_into_dataclasses(
        list(argv), return_remaining_strings=True, look_for_args_file=False
    )
    for flag in flags:
        old = flag.split("=")[0].replace("-", "_").replace("__", "--", 1)
        if old in _RENAMED:
            raise InputError(f"{flag.split('=')[0]} is now {_RENAMED[old]}.")
    if not flags or not flags[0].endswith((".yaml", ".yml")):
        found = f", got {flags[0]!r}" if flags else ""
        raise InputError(f"the first argument must be the config of a training run, a YAML file{found}.")
    if arguments.output_dir is None:
        arguments.output_dir = _default_folder(Path(flags[0]).stem)
    return arguments, flags


def _default_folder(name: str) -> Path:
    """`runs/mask_loss/NAME`, or `runs/study/NAME`, the old default, if only that exists."""
    folder, old = Path("runs/mask_loss") / name, Path("runs/study") / name
    return old if old.exists() and not folder.exists() else folder
