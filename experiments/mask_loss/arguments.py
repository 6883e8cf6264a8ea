"""The options of `python -m experiments.mask_loss`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.data.masks import MaskEncoding
from modeling_pm_vit.explainers.registry import EXPLAINERS, explainer_names
from modeling_pm_vit.metrics.registry import METRICS, metric_names
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.utils.names import resolve_names

from .evaluation import EvaluationSettings
from .variants import VARIANTS

_DEFAULT = EvaluationSettings()
_RENAMED = {
    "--arms": "--variants",
    "--protocols": "--metrics",
    "--grids": "--num_grids",
    "--max-images": "--max_samples",
    "--judged-mask-column": "--eval_mask_column",
    "--judged-mask-encoding": "--eval_mask_encoding",
}


@dataclass
class ExperimentArguments:
    variants: list[str] = option(
        default_factory=lambda: list(VARIANTS),
        help=f"Variants to train and evaluate: {', '.join(VARIANTS)}. Default: all.",
        metavar="NAME",
    )
    seeds: list[int] = option(default_factory=lambda: [0, 1, 2], help="Seeds of each variant.", metavar="N")
    explainers: list[str] = option(
        default_factory=lambda: list(_DEFAULT.explainers),
        help=f"Explainers to evaluate, of {', '.join(EXPLAINERS)}; or all.",
        metavar="NAME",
    )
    metrics: list[str] = option(
        default_factory=lambda: list(_DEFAULT.metrics),
        help=f"Metrics to compute, of {', '.join(METRICS)}; or all.",
        metavar="NAME",
    )
    num_grids: int = option(_DEFAULT.num_grids, help="Grids of each grid pointing game.")
    max_samples: int | None = option(None, help="Evaluate on N images, drawn at random. Default: all.")
    eval_mask_column: str | None = option(
        None, help="Mask column of the evaluation split, 'none' for none. Default: --mask_column."
    )
    eval_mask_encoding: MaskEncoding | None = option(
        None, help="Mask encoding of the evaluation split. Default: --mask_encoding."
    )
    held_out_split: str | None = option(None, help="Also choose the thresholds of localization on this split.")
    output_dir: Path | None = option(
        None, help="Folder of the results. Default: runs/mask_loss/NAME_OF_CONFIG.", old_names=["--output"]
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
    parser = ArgumentParser(
        ExperimentArguments,
        command="python -m experiments.mask_loss",
        description=description,
        refused=_RENAMED,
        usage_first="CONFIG",
    )
    arguments, flags = parser.parse_known(argv)
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
