"""One training of one variant: trained, calibrated on held-out images, evaluated on the test split."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..commands import Call, option_words, require

TRAINED, HELD_OUT, TEST = "train[!0/5]", "train[0/5]", "test"


@dataclass(frozen=True)
class Plan:
    """
    Args:
        seeds: of the trainings.
        variants: options of `pm-vit train` by name of the variant.
        train, calibrate: options of both commands, for all.
        datasets: for each `group_column`, `empty_classes` and `unknown`, other datasets of the same folder.
    """

    seeds: list[int]
    variants: Mapping[str, Mapping[str, Any]]
    train: Mapping[str, Any]
    calibrate: Mapping[str, Any]
    datasets: Mapping[str, Mapping[str, Any]]


def run_training(
    call: Call,
    plan: Plan,
    name: str,
    variant: str,
    seed: int,
    data: Path,
    output: Path,
    model: str,
) -> dict[str, Any]:
    """
    Train, calibrate and test; what exists is not computed again.

    Args:
        call: runs `pm-vit` with these words.
        name, variant, seed: of the dataset, the variant and the training.
        data: folder of the datasets.
        output: folder of the results.
        model: that is trained further; "": from scratch.

    Returns:
        What `pm-vit calibrate --report_only` wrote of the test split.
    """
    folder, options = output / name / f"{variant}-{seed}", plan.datasets[name]
    result = folder / "test" / "calibration.json"
    if not result.exists():
        unknown = [str(data / other) for other in options.get("unknown", ())]
        common = {"data": str(data / name)} | {key: options[key] for key in options if key != "unknown"}
        trained = folder / "model"
        if not (trained / "eval_results.json").exists():
            splits = {"train_split": TRAINED, "eval_split": HELD_OUT, "output_dir": str(trained), "seed": seed}
            start = {"model": model} if model else {}
            require(call, ["train", *option_words(common | splits | start | plan.train | plan.variants[variant])])
        calibration = common | {"unknown": ["noise", "drawings", *unknown]} | plan.calibrate
        held_out = {"split": HELD_OUT, "output_dir": str(folder / "held-out")}
        require(call, ["calibrate", str(trained), *option_words(calibration | held_out)])
        test = {"split": TEST, "output_dir": str(folder / "test")}
        require(call, ["calibrate", str(trained), "--report_only", *option_words(calibration | test)])
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found
