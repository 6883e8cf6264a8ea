"""One seed: the models of a plan, trained one on another, and each evaluated."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..commands import Call, option_words, require

START = "start"


@dataclass(frozen=True)
class Plan:
    """
    Args:
        seeds: of the new classifier and of the trainings.
        data: options that `pm-vit train` and `pm-vit evaluate` share.
        convert: options of `pm-vit convert`, which makes the model `start` of the given checkpoint.
        train: options of `pm-vit train`, for all models.
        models: for each trained model its own options, and `model`, the name of the one that it is trained on.
        evaluate: for each evaluation its `models`, and its options of `pm-vit evaluate`.
        values: the columns of the table, values of metrics.
    """

    seeds: list[int]
    data: Mapping[str, Any]
    convert: Mapping[str, Any]
    train: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    evaluate: Mapping[str, Mapping[str, Any]]
    values: list[str]


Evaluated = tuple[str, str, str]  # the model, the name of the evaluation, the explainer


def run_seed(
    call: Call, plan: Plan, seed: int, data: Path, checkpoint: str, output: Path, more: list[str]
) -> Iterator[tuple[Evaluated, dict[str, float]]]:
    """
    Convert, train and evaluate; what exists is not computed again.

    Args:
        call: runs `pm-vit` with these words.
        data: the dataset.
        checkpoint: to convert.
        output: gets a folder for each model and seed, which has one for each evaluation.
        more: options of `pm-vit train`, which win over the plan.

    Yields:
        The values of each explainer in each evaluation, as soon as it is finished.

    Raises:
        PMViTError: if a command failed.
    """
    folders = {name: output / name / f"seed-{seed}" for name in (START, *plan.models)}
    if not (folders[START] / "preprocessor_config.json").exists():  # it is written last
        start = plan.convert | {"output_dir": folders[START], "seed": seed}
        require(call, ["convert", checkpoint, "--force", *option_words(start)])
    for name, own in plan.models.items():
        if (folders[name] / "training_summary.json").exists():
            continue
        settings = {"data": data, **plan.data, **plan.train, **own, "model": folders[own["model"]], "seed": seed}
        settings |= {"output_dir": folders[name], "feature_folder": output / "features" / f"seed-{seed}"}
        require(call, ["train", *option_words(settings), "--resume_from_checkpoint", *more])
    for name, evaluation in plan.evaluate.items():
        for model in evaluation["models"]:
            folder = folders[model] / f"evaluation-{name}"
            settings = {"data": data, **plan.data, **evaluation, "model": folders[model], "output_dir": folder}
            del settings["models"]
            if not (folder / "index.html").exists():  # it is written last
                require(call, ["evaluate", *option_words(settings)])
            for explainer in evaluation["explainers"]:
                yield (model, name, explainer), _values(folder, explainer)


def _values(folder: Path, explainer: str) -> dict[str, float]:
    """The values of an explainer, and of its classifier."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))["results"]
    return {
        name: cell["value"]
        for found in results.values()
        for cells in (found.get("classifier", {}), found.get(explainer, {}))
        for name, cell in cells.items()
    }
