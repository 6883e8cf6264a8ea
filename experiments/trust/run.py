"""One training of one variant: trained, calibrated on held-out images, evaluated on the test split."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeling_pm_vit.training.summary import SUMMARY

from ..commands import Call, option_words, require
from ..plans import fields_of, read_fields

TRAINED, HELD_OUT, TEST = "train[!0/5]", "train[0/5]", "test"


@dataclass(frozen=True, kw_only=True)
class Study:
    """
    Args:
        variants: options of `pm-vit train` by name of the variant.
        data: name of the dataset's folder.
        image_size: in pixels.
        train: further options of `pm-vit train`, of all variants.
        read: options that say how the dataset is read, of all commands.
        unknown: other datasets, by the names of their folders.
        unknown_in_test: sources of `--unknown` for the test split alone, so that no score is chosen on them.
    """

    variants: Mapping[str, Mapping[str, Any]]
    data: str
    image_size: int
    train: Mapping[str, Any]
    read: Mapping[str, Any]
    unknown: list[str]
    unknown_in_test: list[str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    Args:
        seeds: of the trainings.
        train, calibrate, shortcuts: options of these commands, of all studies.
        studies: by name, the most important first.
    """

    seeds: list[int]
    train: Mapping[str, Any]
    calibrate: Mapping[str, Any]
    shortcuts: Mapping[str, Any]
    studies: Mapping[str, Study]


@dataclass(frozen=True, kw_only=True)
class Training:
    """One of the trainings of a plan."""

    study: str
    variant: str
    seed: int

    def folder(self, output: Path) -> Path:
        return output / self.study / f"{self.variant}-{self.seed}"


def read_plan(path: Path) -> Plan:
    """
    Raises:
        NotFoundError: if there is no such file.
        InputError: if it has another form.
    """
    plan = read_fields(Plan, path)
    studies = {name: fields_of(Study, study, f"{path}, {name}") for name, study in plan.studies.items()}
    return replace(plan, studies=studies)


def trainings(plan: Plan, studies: list[str]) -> Iterator[Training]:
    """In their order: a study after the other, and of a study a seed after the other."""
    for study in studies:
        for seed in plan.seeds:
            for variant in plan.studies[study].variants:
                yield Training(study=study, variant=variant, seed=seed)


def run_training(call: Call, plan: Plan, training: Training, data: Path, output: Path, model: str) -> None:
    """
    Train, calibrate and test; what exists is not computed again.

    Args:
        call: runs `pm-vit` with these words.
        data: folder of the datasets.
        output: folder of the results.
        model: that is converted to the image size of the study and trained further; "": from scratch.
    """
    study, folder = plan.studies[training.study], training.folder(output)
    read = {"data": data / study.data, **study.read}
    trained = folder / "model"
    if not (trained / SUMMARY).exists():
        start = {"model": _start(call, model, study.image_size, output)} if model else {}
        splits = {"train_split": TRAINED, "eval_split": TEST}  # evaluated once, after the last epoch
        fixed = {"output_dir": trained, "seed": training.seed, "image_size": study.image_size}
        fixed |= {"eval_strategy": "no", "save_strategy": "no", "feature_folder": output / "features"}
        options = read | splits | start | fixed | plan.train | study.train | study.variants[training.variant]
        require(call, ["train", *option_words(options)])
    calibration = read | plan.calibrate
    unknown = ["noise", "drawings", *(data / other for other in study.unknown)]
    if not (folder / "held-out" / "calibration.json").exists():
        held_out = {"split": HELD_OUT, "unknown": unknown, "output_dir": folder / "held-out"}
        require(call, ["calibrate", str(trained), *option_words(calibration | held_out)])
    if not (folder / "test" / "calibration.json").exists():
        test = {"split": TEST, "unknown": unknown + study.unknown_in_test, "output_dir": folder / "test"}
        require(call, ["calibrate", str(trained), "--report_only", *option_words(calibration | test)])
    if not (folder / "shortcuts" / "shortcuts.json").exists():
        checked = {"split": TEST, "output_dir": folder / "shortcuts"}
        require(call, ["shortcuts", str(trained), *option_words(read | plan.shortcuts | checked)])


def results_of(training: Training, output: Path) -> dict[str, Any] | None:
    """What was written of the test split: `summary`, `calibration` and `shortcuts`; None if something is missing."""
    folder = training.folder(output)
    files = {
        "summary": folder / "model" / SUMMARY,
        "calibration": folder / "test" / "calibration.json",
        "shortcuts": folder / "shortcuts" / "shortcuts.json",
    }
    if not all(file.exists() for file in files.values()):
        return None
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}


def _start(call: Call, model: str, image_size: int, output: Path) -> Path:
    """The model with position embeddings of this image size."""
    folder = output / f"start-{image_size}"
    if not (folder / "config.json").exists():
        settings = {"output_dir": folder, "image_size": image_size, "num_labels": 2}
        require(call, ["convert", model, *option_words(settings)])
    return folder
