"""What is trained and evaluated: datasets, variants and seeds, read from a YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_pm_vit.utils.errors import InputError

from ..commands import option_words
from ..plans import read_fields


@dataclass(frozen=True)
class Plan:
    """
    Args:
        train: options of `pm-vit train` for all runs.
        datasets: for each further options of the training. The first of them start the comparison.
        variants: for each further options of the training; the first is the control.
        seeds: of each variant.
        evaluate: for each dataset the options of `pm-vit evaluate`.
        values: the columns of the table, values of these metrics.
    """

    train: Mapping[str, Any]
    datasets: Mapping[str, Mapping[str, Any]]
    variants: Mapping[str, Mapping[str, Any]]
    seeds: list[int]
    evaluate: Mapping[str, Mapping[str, Any]]
    values: list[str]


@dataclass(frozen=True)
class Run:
    """One training with its evaluation, in `folder`."""

    dataset: str
    variant: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.variant} {self.seed}"


def read_plan(path: Path) -> Plan:
    """
    Raises:
        InputError: if the file has another form.
        NotFoundError: if there is no such file.
    """
    plan = read_fields(Plan, path)
    if set(plan.evaluate) != set(plan.datasets):
        raise InputError(f"{path}: evaluate must have the datasets {', '.join(plan.datasets)}.")
    return plan


def runs_of(plan: Plan, output: Path) -> list[Run]:
    """All runs, seed by seed, so that an early end leaves whole comparisons."""
    return [
        Run(dataset, variant, seed, output / dataset / variant / f"seed-{seed}")
        for seed in plan.seeds
        for dataset in plan.datasets
        for variant in plan.variants
    ]


def train_words(plan: Plan, run: Run, data: Path, model: str | None, more: Mapping[str, Any]) -> list[str]:
    """
    The options of `pm-vit train`; `more` wins over the plan.

    Args:
        model: to fine-tune, in which `{classes}` and `{seed}` stand for the dataset and the seed.
    """
    settings: dict[str, Any] = {
        **{"report_to": "none", "overlays": 0, "eval_strategy": "no", "save_total_limit": 1},
        **plan.train,
        **plan.datasets[run.dataset],
        **plan.variants[run.variant],
        **more,
    }
    if model is not None:
        settings["model"] = model.replace("{dataset}", run.dataset).replace("{seed}", str(run.seed))
    settings |= {"data": data / run.dataset, "output_dir": run.folder, "seed": run.seed}
    return [*option_words(settings), "--resume_from_checkpoint"]


def evaluate_words(plan: Plan, run: Run, data: Path, more: Mapping[str, Any]) -> list[str]:
    """The options of `pm-vit evaluate`."""
    settings = {"explainers": ["pm-vit"], **plan.evaluate[run.dataset], **more}
    settings |= {"model": run.folder, "data": data / run.dataset, "output_dir": run.folder / "evaluation"}
    return option_words(settings)
