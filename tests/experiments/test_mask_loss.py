import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from experiments.mask_loss.chart import write_chart
from experiments.mask_loss.evaluating import Judging
from experiments.mask_loss.run import run_arm
from experiments.mask_loss.table import read_runs, table, write_table
from experiments.mask_loss.variants import ARMS
from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.training.arguments import parse_arguments

CONFIG = {
    **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"eval_split": "test", "mask_encoding": "class_id"},
    **{"per_device_train_batch_size": 8, "max_steps": 2, "frozen_layers": 1, "feature_epochs": 1, "mosaics": 0.5},
    **{"disable_tqdm": True},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, size in {"train": 16, "test": 12}.items():
        synthetic_dataset(split, size, image_size=32).to_parquet(folder / f"{split}.parquet")
    return str(folder)


@pytest.fixture
def config(data, tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(CONFIG | {"data": data}))
    return str(file)


def test_an_arm_is_trained_and_judged_once(config, tmp_path):
    figures = run_arm("joint-10", 0, [config], tmp_path / "study", Judging(grids=1)).figures
    assert {"max_box_acc_v2", "energy_inside", "pointing_game", "sparseness"} <= figures["pm-vit"].keys()
    kept = json.loads((tmp_path / "study" / "joint-10" / "seed-0.json").read_text())
    assert kept["intervals"]["pm-vit"].keys() == figures["pm-vit"].keys()
    for figure in ("pointing_game", "energy_inside", "sparseness", "max_box_acc_v2"):
        low, high = kept["intervals"]["pm-vit"][figure]
        assert low <= figures["pm-vit"][figure] <= high and low < high, figure
    weights = tmp_path / "study" / "joint-10" / "seed-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run_arm("joint-10", 0, [config], tmp_path / "study", Judging(grids=1)).figures == figures
    assert weights.stat().st_mtime_ns == before
    with Path(config).open("a") as file:
        file.write("# a remark\n")
    assert run_arm("joint-10", 0, [config], tmp_path / "study", Judging(grids=1)).figures == figures
    assert weights.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="other flags: name another --output"):
        run_arm("joint-10", 0, [config, "--learning_rate", "0.1"], tmp_path / "study", Judging(grids=1))


def test_each_seed_starts_from_a_model_of_its_own(config, tmp_path):
    """At a learning rate of 0 each run ends with the weights that it started from."""
    settings = {key: CONFIG[key] for key in ("image_size", "patch_size", "hidden_size", "num_hidden_layers")}
    flags = [config, "--model", str(tmp_path / "start-{seed}"), "--learning_rate", "0"]
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = PMViTForImageClassification(PMViTConfig(**settings, num_attention_heads=2, num_labels=len(CLASSES)))
        model.save_pretrained(tmp_path / f"start-{seed}")
        PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / f"start-{seed}")
        run_arm("joint", seed, flags, tmp_path / "study", Judging(protocols=["pointing"]))
        trained = PMViTForImageClassification.from_pretrained(tmp_path / "study" / "joint" / f"seed-{seed}")
        torch.testing.assert_close(trained.classifier.weight, model.classifier.weight, rtol=0, atol=0)


def test_another_judging_adds_its_figures(config, tmp_path):
    few = {"grids": 1, "max_images": 4}
    run_arm("softmax", 0, [config], tmp_path, Judging(protocols=["pointing"], **few))
    run_arm("softmax", 0, [config], tmp_path, Judging(["pm-vit", "gaussian"], ["map_statistics"], **few))
    found = json.loads((tmp_path / "softmax" / "seed-0.json").read_text())
    assert found["figures"]["pm-vit"].keys() >= {"energy_inside", "sparseness"}
    assert found["figures"]["gaussian"].keys() == {"sparseness", "complexity"}
    assert 0 <= found["top1"] <= 1
    assert len(found["correct"]) == 4 and set(found["correct"]) <= {0, 1}


def test_thresholds_of_held_out_images(config, tmp_path):
    judging = Judging(protocols=["localization"], grids=1, held_out_split="test[0/4]")
    figures = run_arm("softmax", 0, [config, "--eval_split", "test[!0/4]"], tmp_path, judging).figures["pm-vit"]
    assert {"held_out_gt_known", "held_out_box_acc_v2", "held_out_top1_localization"} <= figures.keys()
    assert figures["held_out_gt_known"] <= figures["max_box_acc"]


def test_what_needs_no_mask_is_judged_of_a_split_without_masks(config, tmp_path):
    judging = Judging(protocols=["map_statistics", "pointing"], mask_column="none")
    figures = run_arm("softmax", 0, [config, "--max_steps", "1"], tmp_path, judging).figures["pm-vit"]
    assert figures.keys() == {"sparseness", "complexity"}


def test_a_form_is_judged_as_it_was_trained(config, tmp_path):
    """The maps are not those that the checkpoint has without its form."""
    judging = Judging(protocols=["pointing"])
    figures = run_arm("joint-earlier", 0, [config], tmp_path / "study", judging).figures
    folder = tmp_path / "study" / "joint-earlier" / "seed-0"
    unchanged = ["--model", str(folder), "--learning_rate", "0"]
    assert run_arm("joint", 0, [config, *unchanged], tmp_path / "plain", judging).figures != figures
    assert run_arm("joint-earlier", 0, [config, *unchanged], tmp_path / "again", judging).figures == figures


@pytest.mark.parametrize("name", ["present", "joint-pooled", "joint-earlier"])
def test_a_form_of_its_own_is_saved_as_a_pm_vit(name, config, tmp_path):
    run_arm(name, 0, [config, "--max_steps", "1"], tmp_path, Judging(grids=1))
    model = PMViTForImageClassification.from_pretrained(tmp_path / name / "seed-0")
    assert model.config.num_hidden_layers == 2


def test_an_unknown_arm_is_named(config, tmp_path):
    with pytest.raises(ValueError, match="no arm 'other'; there are none, target"):
        run_arm("other", 0, [config], tmp_path, Judging())


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_training_run(name):
    flags = [text for key, value in ARMS[name].settings.items() for text in (f"--{key}", str(value))]
    parse_arguments(flags)


def test_tables_have_means_spreads_and_gains(tmp_path):
    for name, values in {"none": [0.5, 0.7], "joint": [0.6, 0.9], "softmax": [0.8]}.items():
        (tmp_path / name).mkdir()
        for seed, value in enumerate(values):
            figures = {"pm-vit": {"energy_inside": value / 2}}
            if name == "softmax":
                figures["prediction-map"] = {"energy_inside": 0.25, "sparseness": 0.5}
            run = {"seed": seed, "top1": value, "figures": figures}
            (tmp_path / name / f"seed-{seed}.json").write_text(json.dumps(run))
    lines = write_table(read_runs(tmp_path), tmp_path / "table.md").splitlines()
    assert (tmp_path / "table.md").read_text().splitlines() == lines == table(read_runs(tmp_path)).splitlines()
    write_chart(read_runs(tmp_path), tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.width > chart.height > 100 and len(chart.convert("RGB").getcolors(1 << 24)) > 20
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert rows[0] == ["Mask loss", "Map", "Top-1", "Gain", "Energy inside", "Sparseness (Gini)", "Seeds"]
    assert rows[2:] == [
        ["no mask loss", "pm-vit", "60.0 ± 14.1", "", "30.0 ± 7.1", "", "2"],
        [ARMS["softmax"].title, "prediction-map", "80.0", "30.0", "25.0", "50.0", "1"],
        ["", "pm-vit", "", "", "40.0", "", "1"],
        [ARMS["joint"].title, "pm-vit", "75.0 ± 21.2", "15.0 ± 7.1", "37.5 ± 10.6", "", "2"],
    ]


def test_a_single_seed_has_the_intervals_that_its_judging_found(tmp_path):
    run = {"top1": 0.5, "figures": {"pm-vit": {"energy_inside": 0.25, "pointing_game": 0.5}}}
    run["intervals"] = {"pm-vit": {"energy_inside": [0.125, 0.5]}}
    one, two = {"joint": {0: run}}, {"joint": {0: run, 1: run}}
    cells = [[cell.strip() for cell in table(runs).splitlines()[2].split("|")[5:7]] for runs in (one, two)]
    assert cells == [["50.0", "25.0 [12.5, 50.0]"], ["50.0 ± 0.0", "25.0 ± 0.0"]]


def test_a_gain_has_an_interval_over_the_images(tmp_path):
    runs = {
        "none": {seed: {"top1": 0.5, "correct": [0, 1] * 50, "figures": {"pm-vit": {}}} for seed in range(2)},
        "softmax": {0: {"top1": 0.5, "correct": [0, 1] * 50, "figures": {"pm-vit": {}}}},
        "joint": {seed: {"top1": 0.75, "correct": [0, 1, 1, 1] * 25, "figures": {"pm-vit": {}}} for seed in range(2)},
        "target": {0: {"top1": 0.5, "correct": [0, 1], "figures": {"pm-vit": {}}}},  # judged on fewer images
    }
    _, _, _, softmax, joint, target = [line.split("|")[4].strip() for line in table(runs).splitlines()]
    assert (softmax, target) == ("0.0 [0.0, 0.0]", "0.0")
    mean, low, high = re.fullmatch(r"(.+) ± 0.0 \[(.+), (.+)\]", joint).groups()
    assert float(mean) == 25.0
    error = 100 * np.sqrt(0.25 * 0.75 / 100)  # of the mean of 100 differences, 25 of 1 and 75 of 0
    assert float(low) == pytest.approx(25 - 1.96 * error, abs=1.5)
    assert float(high) == pytest.approx(25 + 1.96 * error, abs=1.5)


def test_the_command_says_what_is_missing():
    found = subprocess.run(
        [sys.executable, "-m", "experiments.mask_loss", "--arms", "joint"], capture_output=True, text=True
    )
    assert found.returncode == 2 and "config of a training run" in found.stderr
