"""One dataset: its model is evaluated step by step, and the report grows with each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.results import Results
from modeling_pm_vit.evaluation.run import evaluate
from modeling_pm_vit.utils.errors import InputError

from ..plans import read_fields


@dataclass(frozen=True)
class Plan:
    """
    Args:
        options: of [`EvaluationArguments`], for all datasets.
        datasets: for each its own options.
        steps: the explainers and metrics of each call, one after the other.
    """

    options: Mapping[str, Any]
    datasets: Mapping[str, Mapping[str, Any]]
    steps: list[Mapping[str, Any]]


def read_plan(path: Path) -> Plan:
    """
    The plan of a YAML file.

    Raises:
        InputError: if the file has another form, or names an option that `pm-vit evaluate` does not have.
        NotFoundError: if there is no such file.
    """
    plan, known = read_fields(Plan, path), {field.name for field in fields(EvaluationArguments)}
    for asked in (plan.options, *plan.datasets.values(), *plan.steps):
        for name in asked:
            if name not in known:
                raise InputError(f"{path}: there is no option {name!r} of pm-vit evaluate.")
    return plan


def run_dataset(name: str, plan: Plan, data: Path, models: Path, output: Path, **machine: str) -> Results:
    """
    The results of all steps of a dataset; what exists already is not computed again.

    Args:
        name: of the dataset: `data / name` holds it, `models / name` its model, `output / name` gets the report.
        machine: `device` and `precision`.
    """
    results: Results = {}
    for step in plan.steps:
        asked = {**plan.options, **plan.datasets[name], **step, **machine}
        results, _ = evaluate(
            EvaluationArguments(str(models / name), output_dir=output / name, data=str(data / name), **asked)
        )
    return results
