"""The experiment on trust: what it calls, in which order, and the table of what was written."""

import copy
import json
from itertools import pairwise

import pytest

from experiments.trust.__main__ import report
from experiments.trust.run import HELD_OUT, TEST, TRAINED, Training, read_plan, run_training, trainings
from experiments.trust.table import table, values_of
from modeling_pm_vit.evaluation.calibration import CalibrationArguments
from modeling_pm_vit.evaluation.shortcuts.arguments import ShortcutArguments
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.utils.arguments import ArgumentParser
from modeling_pm_vit.utils.errors import InputError, PMViTError

CALIBRATION = {
    "values": {"classes": {"temperature": 2, "calibration_error_before": 0.1, "calibration_error_after": 0.02}},
    "confidence": {
        "auroc": {"seen": {"noise": [0.9, 0.8, 1.0], "wrong answers": None}},
        "coverage": 0.9,
        "precision": 1,
        "refused": {"noise": 0.5},
        "seen_nowhere": {"noise": 0.25},
    },
}
SUMMARY = {
    "evaluation": {"balanced_accuracy": 0.5},
    "classes": {"rare": {"evaluation": {"recall": 0.25, "outline_iou": 0.5}}},
}
SHORTCUTS = {"classes": [{"name": "rare", "values": {"map_off": [0.1, 0.0, 0.2], "right_hidden": [float("nan")] * 3}}]}
WRITTEN = {"summary": SUMMARY, "calibration": CALIBRATION, "shortcuts": SHORTCUTS}
BUSI = Training(study="busi", variant="pm-vit", seed=0)


@pytest.fixture(params=["published", "rehearsal"])
def plan(request):
    return read_plan(request.config.rootpath / "experiments" / "trust" / "configs" / f"{request.param}.yaml")


def write(folder, words):
    """What a command leaves behind."""
    options = dict(pairwise(words))
    name, document = {
        "train": ("training_summary.json", SUMMARY),
        "calibrate": ("calibration.json", CALIBRATION),
        "shortcuts": ("shortcuts.json", SHORTCUTS),
        "convert": ("config.json", {}),
    }[words[0]]
    target = folder / options["--output_dir"]
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_text(json.dumps(document))
    return 0


def test_the_commands_are_those_of_pm_vit(plan, tmp_path):
    called = []

    def call(words):
        called.append(words)
        return write(tmp_path, words)

    for study in plan.studies:
        for training in trainings(plan, [study]):
            called.clear()
            run_training(call, plan, training, tmp_path / "data", tmp_path / "out", "vit-s14")
            assert [words[0] for words in called if words[0] != "convert"] == [
                "train",
                "calibrate",
                "calibrate",
                "shortcuts",
            ]
            trained, *calibrated, checked = called[-4:]
            _, data, run = parse_arguments([*trained[1:], "--use_cpu", "true"])
            assert (data.train_split, data.eval_split, data.group_column) == (TRAINED, TEST, "group")
            assert run.output_dir.endswith(f"{study}/{training.variant}-{training.seed}/model")
            fitted, tested = (
                ArgumentParser(CalibrationArguments).parse([*words[1:], "--device", "cpu"]) for words in calibrated
            )
            assert (fitted.split, fitted.report_only, tested.split, tested.report_only) == (HELD_OUT, False, TEST, True)
            assert "left_out" not in fitted.unknown and ("left_out" in tested.unknown) == bool(data.leave_out_classes)
            assert ArgumentParser(ShortcutArguments).parse([*checked[1:], "--device", "cpu"]).split == TEST
            called.clear()
            run_training(call, plan, training, tmp_path / "data", tmp_path / "out", "vit-s14")
            assert called == []  # what exists is kept
    written = report(plan, tmp_path / "out")
    assert written.count("## ") == len(plan.studies) and "| rare: recall" in written
    with pytest.raises(PMViTError, match=r"pm-vit train .* failed"):
        run_training(lambda words: 1, plan, BUSI, tmp_path, tmp_path, "")


def test_the_table_has_means_over_the_seeds_and_paired_differences():
    better = copy.deepcopy(WRITTEN)
    better["summary"]["classes"]["rare"]["evaluation"]["recall"] = 0.75
    own, other = values_of(better), values_of(WRITTEN)
    found = {row[0]: row[1:] for row in table({"pm-vit": {0: own, 1: other}, "plain-vit": {0: other, 1: other}})}
    assert found[""] == ["pm-vit", "plain-vit", "pm-vit - plain-vit", "seeds"]
    assert found["rare: recall"] == ["0.500 ± 0.354", "0.250 ± 0.000", "0.250 ± 0.354", "2"]
    assert found["AUROC against noise: seen"][0] == "0.900 ± 0.000"
    assert found["shortcuts, rare: map_off"][0] == "0.100 ± 0.000"
    assert not {"AUROC against wrong answers: seen", "shortcuts, rare: right_hidden"} & set(found)


def test_a_config_of_another_form_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("seeds: [0]\n")
    with pytest.raises(InputError, match="must hold seeds, train, calibrate, shortcuts, studies"):
        read_plan(tmp_path / "config.yaml")
