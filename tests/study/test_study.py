import json
import subprocess
import sys

import pytest
import yaml

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.study.arms import ARMS
from modeling_pm_vit.study.run import run_arm
from modeling_pm_vit.study.table import read_figures, table, write_tables
from modeling_pm_vit.training.arguments import parse_arguments

CONFIG = {
    **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"data": "synthetic", "mask_encoding": "class_id", "train_size": 16, "eval_size": 8},
    **{"per_device_train_batch_size": 8, "max_steps": 2, "frozen_layers": 1, "feature_epochs": 1, "mosaics": 0.5},
    **{"disable_tqdm": True},
}


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    return str(file)


def test_an_arm_is_trained_and_judged_once(config, tmp_path):
    figures = run_arm("joint-10", 0, [config], tmp_path / "study", grids=1)
    assert {"top1", "energy_inside", "pointing_game", "sparseness"} <= figures.keys()
    weights = tmp_path / "study" / "joint-10" / "seed-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run_arm("joint-10", 0, [config], tmp_path / "study", grids=1) == figures
    assert weights.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["present", "joint-pooled"])
def test_a_form_of_its_own_is_saved_as_a_pm_vit(name, config, tmp_path):
    run_arm(name, 0, [config, "--max_steps", "1"], tmp_path, grids=1)
    model = PMViTForImageClassification.from_pretrained(tmp_path / name / "seed-0")
    assert model.config.num_hidden_layers == 2


def test_an_unknown_arm_is_named(config, tmp_path):
    with pytest.raises(ValueError, match="no arm 'other'; there are none, target"):
        run_arm("other", 0, [config], tmp_path)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_training_run(name):
    flags = [text for key, value in ARMS[name].settings.items() for text in (f"--{key}", str(value))]
    parse_arguments(flags)


def test_tables_have_means_spreads_and_gains(tmp_path):
    for name, values in {"none": [0.5, 0.7], "joint": [0.6, 0.9], "softmax": [0.8]}.items():
        (tmp_path / name).mkdir()
        for seed, value in enumerate(values):
            run = {"seed": seed, "figures": {"top1": value, "energy_inside": value / 2}}
            (tmp_path / name / f"seed-{seed}.json").write_text(json.dumps(run))
    lines = write_tables(tmp_path).splitlines()
    assert (tmp_path / "table.md").read_text().splitlines() == lines == table(read_figures(tmp_path)).splitlines()
    cells = {cells[1]: cells[2:-1] for line in lines[2:] if (cells := [cell.strip() for cell in line.split("|")])}
    assert cells["no mask loss"] == ["60.0 ± 14.1", "", "", "30.0 ± 7.1", "", "", "", "", "2"]
    assert cells[ARMS["joint"].title][-2:] == ["15.0 ± 7.1", "2"]
    assert cells[ARMS["softmax"].title][-2:] == ["30.0", "1"]


def test_the_command_says_what_is_missing():
    found = subprocess.run([sys.executable, "scripts/study.py", "--arms", "joint"], capture_output=True, text=True)
    assert found.returncode == 2 and "config of a training run" in found.stderr
