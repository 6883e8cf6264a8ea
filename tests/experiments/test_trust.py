"""The experiment on trust: what it calls, in which order, and the table of what was written."""

import json

import pytest

from experiments.plans import read_fields
from experiments.trust.run import HELD_OUT, TEST, TRAINED, Plan, run_training
from experiments.trust.table import table
from modeling_pm_vit.evaluation.calibration import CalibrationArguments
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.utils.arguments import ArgumentParser
from modeling_pm_vit.utils.errors import InputError, PMViTError

WRITTEN = {
    "values": {"classes": {"calibration_error_before": 0.1, "calibration_error_after": 0.02}},
    "confidence": {
        "auroc": {"seen": {"noise": [0.9, 0.8, 1.0], "wrong answers": None}},
        "coverage": 0.9,
        "precision": 1,
    },
}


@pytest.mark.parametrize("config", ["published", "rehearsal"])
def test_the_commands_are_those_of_pm_vit(config, request, tmp_path):
    plan = read_fields(Plan, request.config.rootpath / "experiments" / "trust" / "configs" / f"{config}.yaml")
    called = []

    def call(words):
        called.append(words)
        if words[0] == "calibrate" and "--report_only" in words:
            folder = tmp_path / "out" / "busi" / "pm-vit-0" / "test"
            folder.mkdir(parents=True)
            (folder / "calibration.json").write_text(json.dumps(WRITTEN))
        return 0

    arguments = (plan, "busi", "pm-vit", 0, tmp_path / "data", tmp_path / "out", "")
    assert run_training(call, *arguments) == WRITTEN
    assert [words[0] for words in called] == ["train", "calibrate", "calibrate"]
    _, data, run = parse_arguments([*called[0][1:], "--use_cpu", "true"])
    assert (data.train_split, data.eval_split, data.group_column) == (TRAINED, HELD_OUT, "group")
    assert run.output_dir.endswith("busi/pm-vit-0/model")
    fitted, tested = (
        ArgumentParser(CalibrationArguments).parse([*words[1:], "--device", "cpu"]) for words in called[1:]
    )
    assert (fitted.split, fitted.report_only) == (HELD_OUT, False) and (tested.split, tested.report_only) == (
        TEST,
        True,
    )
    assert fitted.unknown == ["noise", "drawings", str(tmp_path / "data" / "ham10000")]
    called.clear()
    assert run_training(call, *arguments) == WRITTEN and called == []  # what exists is kept
    with pytest.raises(PMViTError, match=r"pm-vit train .* failed"):
        run_training(lambda words: 1, plan, "busi", "pm-vit", 1, tmp_path, tmp_path, "")


def test_the_table_has_means_over_the_seeds():
    other = json.loads(json.dumps(WRITTEN))
    other["values"]["classes"]["calibration_error_after"] = 0.04
    rows = table({("busi", "pm-vit"): [WRITTEN, other]})
    found = {row[2]: row[3:] for row in rows[1:]}
    assert found["calibration error of the classes, after"] == ["3.0 ± 1.4 %", "2"]
    assert found["calibration error of the maps, after"] == ["", "0"]
    assert found["AUROC of seen, noise"] == ["90.0 ± 0.0 %", "2"] and found["AUROC of seen, wrong answers"] == ["", "0"]


def test_a_config_of_another_form_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("seeds: [0]\n")
    with pytest.raises(InputError, match="must hold seeds, variants, train, calibrate, datasets"):
        read_fields(Plan, tmp_path / "config.yaml")
