import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from experiments.mask_loss.__main__ import main
from experiments.mask_loss.arguments import parse_arguments as parse_experiment
from experiments.mask_loss.chart import write_chart
from experiments.mask_loss.evaluation import EvaluationSettings
from experiments.mask_loss.results import read_runs
from experiments.mask_loss.run import run_variant
from experiments.mask_loss.table import table, write_table
from experiments.mask_loss.variants import VARIANTS
from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.training.arguments import parse_arguments

pytestmark = pytest.mark.slow  # whole runs

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


def test_a_variant_is_trained_and_evaluated_once(config, tmp_path):
    values = run_variant("joint-10", 0, [config], tmp_path / "out", EvaluationSettings(num_grids=1)).values
    assert {"max_box_acc_v2", "energy_pointing_game", "pointing_game", "sparseness"} <= values["pm-vit"].keys()
    kept = json.loads((tmp_path / "out" / "joint-10" / "seed-0.json").read_text())
    assert kept["intervals"]["pm-vit"].keys() == values["pm-vit"].keys()
    for name in ("pointing_game", "energy_pointing_game", "sparseness", "max_box_acc_v2"):
        low, high = kept["intervals"]["pm-vit"][name]
        assert low <= values["pm-vit"][name] <= high and low < high, name
    weights = tmp_path / "out" / "joint-10" / "seed-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run_variant("joint-10", 0, [config], tmp_path / "out", EvaluationSettings(num_grids=1)).values == values
    assert weights.stat().st_mtime_ns == before
    with Path(config).open("a") as file:
        file.write("# a remark\n")
    assert run_variant("joint-10", 0, [config], tmp_path / "out", EvaluationSettings(num_grids=1)).values == values
    assert weights.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="other flags: name another --output_dir"):
        run_variant(
            "joint-10", 0, [config, "--learning_rate", "0.1"], tmp_path / "out", EvaluationSettings(num_grids=1)
        )


def test_each_seed_starts_from_a_model_of_its_own(config, tmp_path):
    """At a learning rate of 0 each run ends with the weights that it started from."""
    settings = {key: CONFIG[key] for key in ("image_size", "patch_size", "hidden_size", "num_hidden_layers")}
    flags = [config, "--model", str(tmp_path / "start-{seed}"), "--learning_rate", "0"]
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = PMViTForImageClassification(PMViTConfig(**settings, num_attention_heads=2, num_labels=len(CLASSES)))
        model.save_pretrained(tmp_path / f"start-{seed}")
        PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / f"start-{seed}")
        run_variant("joint", seed, flags, tmp_path / "out", EvaluationSettings(metrics=["pointing"]))
        trained = PMViTForImageClassification.from_pretrained(tmp_path / "out" / "joint" / f"seed-{seed}")
        torch.testing.assert_close(trained.classifier.weight, model.classifier.weight, rtol=0, atol=0)


def test_another_evaluation_adds_its_values(config, tmp_path):
    few = {"num_grids": 1, "max_samples": 4}
    run_variant("softmax", 0, [config], tmp_path, EvaluationSettings(metrics=["pointing"], **few))
    run_variant("softmax", 0, [config], tmp_path, EvaluationSettings(["pm-vit", "gaussian"], ["map_statistics"], **few))
    found = json.loads((tmp_path / "softmax" / "seed-0.json").read_text())
    assert found["values"]["pm-vit"].keys() >= {"energy_pointing_game", "sparseness"}
    assert found["values"]["gaussian"].keys() == {"sparseness", "complexity"}
    assert 0 <= found["top1"] <= 1
    assert len(found["correct"]) == 4 and set(found["correct"]) <= {0, 1}


def test_thresholds_of_held_out_images(config, tmp_path):
    settings = EvaluationSettings(metrics=["localization"], num_grids=1, held_out_split="test[0/4]")
    values = run_variant("softmax", 0, [config, "--eval_split", "test[!0/4]"], tmp_path, settings).values["pm-vit"]
    assert {"held_out_gt_known", "held_out_box_acc_v2", "held_out_top1_localization"} <= values.keys()
    assert values["held_out_gt_known"] <= values["max_box_acc"]


def test_metrics_without_masks_run_on_a_split_without_masks(config, tmp_path):
    settings = EvaluationSettings(metrics=["map_statistics", "pointing"], mask_column="none")
    values = run_variant("softmax", 0, [config, "--max_steps", "1"], tmp_path, settings).values["pm-vit"]
    assert values.keys() == {"sparseness", "complexity"}


def test_a_model_class_is_evaluated_as_it_was_trained(config, tmp_path):
    """The maps differ from those of the checkpoint loaded as a plain PM-ViT."""
    settings = EvaluationSettings(metrics=["pointing"])
    values = run_variant("joint-earlier", 0, [config], tmp_path / "out", settings).values
    folder = tmp_path / "out" / "joint-earlier" / "seed-0"
    unchanged = ["--model", str(folder), "--learning_rate", "0"]
    assert run_variant("joint", 0, [config, *unchanged], tmp_path / "plain", settings).values != values
    assert run_variant("joint-earlier", 0, [config, *unchanged], tmp_path / "again", settings).values == values


@pytest.mark.parametrize("name", ["present", "joint-pooled", "joint-earlier"])
def test_a_variant_model_is_saved_as_a_pm_vit(name, config, tmp_path):
    run_variant(name, 0, [config, "--max_steps", "1"], tmp_path, EvaluationSettings(num_grids=1))
    model = PMViTForImageClassification.from_pretrained(tmp_path / name / "seed-0")
    assert model.config.num_hidden_layers == 2


def test_an_unknown_variant_is_named(config, tmp_path):
    with pytest.raises(ValueError, match="no variant 'other'; choose from none, target"):
        run_variant("other", 0, [config], tmp_path, EvaluationSettings())


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_training_run(name):
    flags = [text for key, value in VARIANTS[name].settings.items() for text in (f"--{key}", str(value))]
    parse_arguments(flags)


def test_tables_have_means_spreads_and_gains(tmp_path):
    for name, values in {"none": [0.5, 0.7], "joint": [0.6, 0.9], "softmax": [0.8]}.items():
        (tmp_path / name).mkdir()
        for seed, value in enumerate(values):
            explained = {"pm-vit": {"energy_pointing_game": value / 2}}
            if name == "softmax":
                explained["patch-logits"] = {"energy_pointing_game": 0.25, "sparseness": 0.5}
            run = {"seed": seed, "top1": value, "values": explained}
            (tmp_path / name / f"seed-{seed}.json").write_text(json.dumps(run))
    lines = write_table(read_runs(tmp_path), tmp_path / "table.md").splitlines()
    assert (tmp_path / "table.md").read_text().splitlines() == lines == table(read_runs(tmp_path)).splitlines()
    write_chart(read_runs(tmp_path), tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.width > chart.height > 100 and len(chart.convert("RGB").getcolors(1 << 24)) > 20
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert rows[0] == ["Mask loss", "Map", "Top-1", "Gain", "Energy-based pointing game", "Sparseness (Gini)", "Seeds"]
    assert rows[2:] == [
        ["no mask loss", "pm-vit", "60.0 ± 14.1", "", "30.0 ± 7.1", "", "2"],
        [VARIANTS["softmax"].title, "patch-logits", "80.0", "30.0", "25.0", "50.0", "1"],
        ["", "pm-vit", "", "", "40.0", "", "1"],
        [VARIANTS["joint"].title, "pm-vit", "75.0 ± 21.2", "15.0 ± 7.1", "37.5 ± 10.6", "", "2"],
    ]


def test_a_single_seed_has_the_intervals_of_its_evaluation(tmp_path):
    run = {"top1": 0.5, "values": {"pm-vit": {"energy_pointing_game": 0.25, "pointing_game": 0.5}}}
    run["intervals"] = {"pm-vit": {"energy_pointing_game": [0.125, 0.5]}}
    one, two = {"joint": {0: run}}, {"joint": {0: run, 1: run}}
    cells = [[cell.strip() for cell in table(runs).splitlines()[2].split("|")[5:7]] for runs in (one, two)]
    assert cells == [["50.0", "25.0 [12.5, 50.0]"], ["50.0 ± 0.0", "25.0 ± 0.0"]]


def test_a_gain_has_an_interval_over_the_images(tmp_path):
    runs = {
        "none": {seed: {"top1": 0.5, "correct": [0, 1] * 50, "values": {"pm-vit": {}}} for seed in range(2)},
        "softmax": {0: {"top1": 0.5, "correct": [0, 1] * 50, "values": {"pm-vit": {}}}},
        "joint": {seed: {"top1": 0.75, "correct": [0, 1, 1, 1] * 25, "values": {"pm-vit": {}}} for seed in range(2)},
        "target": {0: {"top1": 0.5, "correct": [0, 1], "values": {"pm-vit": {}}}},  # evaluated on fewer images
    }
    _, _, _, softmax, joint, target = [line.split("|")[4].strip() for line in table(runs).splitlines()]
    assert (softmax, target) == ("0.0 [0.0, 0.0]", "0.0")
    mean, low, high = re.fullmatch(r"(.+) ± 0.0 \[(.+), (.+)\]", joint).groups()
    assert float(mean) == 25.0
    error = 100 * np.sqrt(0.25 * 0.75 / 100)  # of the mean of 100 differences, 25 of 1 and 75 of 0
    assert float(low) == pytest.approx(25 - 1.96 * error, abs=1.5)
    assert float(high) == pytest.approx(25 + 1.96 * error, abs=1.5)


def test_results_under_old_names_are_read(tmp_path):
    old = {"arm": "joint", "seed": 3, "flags": ["old/cub10.yaml"], "config": {}, "top1": 0.5}
    values = {"own_object": 0.5, "energy_inside": 0.25, "max_box_acc": 0.75}
    old |= {"figures": {"pm-vit": {"max_box_acc": 0.5}, "prediction-map": values}}
    old |= {"intervals": {"prediction-map": {"energy_inside": [0.1, 0.4]}}}
    (tmp_path / "joint").mkdir()
    (tmp_path / "joint" / "seed-3.json").write_text(json.dumps(old))
    run = read_runs(tmp_path)["joint"][3]
    assert run["variant"] == "joint" and "arm" not in run
    values = {"on_target_mass": 0.5, "energy_pointing_game": 0.25, "max_box_acc": 0.75}
    assert run["values"] == {"pm-vit": {"max_box_acc": 0.5}, "patch-logits": values}
    assert run["intervals"] == {"patch-logits": {"energy_pointing_game": [0.1, 0.4]}}
    assert "| patch-logits |" in table(read_runs(tmp_path))


def test_a_run_under_old_names_is_not_trained_again(config, tmp_path):
    """Its config may have another path now; its content must be the same."""
    settings = EvaluationSettings(metrics=["map_statistics"])
    flags = [config, "--max_steps", "1"]
    run_variant("joint", 0, flags, tmp_path, settings)
    file, weights = tmp_path / "joint" / "seed-0.json", tmp_path / "joint" / "seed-0" / "model.safetensors"
    run, before = json.loads(file.read_text()), weights.stat().st_mtime_ns
    run["arm"], run["figures"] = run.pop("variant"), run.pop("values")
    run["flags"][0] = "configs/study/tiny.yaml"
    file.write_text(json.dumps(run))
    run_variant("joint", 0, flags, tmp_path, settings)
    assert weights.stat().st_mtime_ns == before
    assert json.loads(file.read_text()).keys() >= {"variant", "values"}


def test_options_are_split_between_experiment_and_training():
    argv = ["configs/cub10.yaml", "--model", "m", "--variants", "none", "joint", "--max-samples", "9", "--seed", "5"]
    arguments, flags = parse_experiment(argv, "")
    assert (arguments.variants, arguments.max_samples, arguments.seeds) == (["none", "joint"], 9, [0, 1, 2])
    assert flags == ["configs/cub10.yaml", "--model", "m", "--seed", "5"]
    assert str(arguments.output_dir) == "runs/mask_loss/cub10"
    argv = ["c.yaml", "--metrics", "own_object", "--explainers", "prediction-map"]  # former names
    renamed, _ = parse_experiment(argv, "")
    assert (renamed.metrics, renamed.explainers) == (["on_target_mass"], ["patch-logits"])
    assert arguments.evaluation == EvaluationSettings(["pm-vit"], list(EvaluationSettings().metrics), max_samples=9)


def test_results_in_the_old_default_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/study/cub10").mkdir(parents=True)
    assert str(parse_experiment(["cub10.yaml"], "")[0].output_dir) == "runs/study/cub10"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--variants", "joint"], "the first argument must be the config of a training run"),
        (["c.yaml", "--arms", "joint"], "--arms is no longer an option: use --variants"),
        (["c.yaml", "--protocols=pointing"], "--protocols is no longer an option: use --metrics"),
        (["c.yaml", "--grids", "5"], "--grids is no longer an option: use --num_grids"),
        (["c.yaml", "--max-images", "5"], "--max-images is no longer an option: use --max_samples"),
        (
            ["c.yaml", "--judged-mask-column", "none"],
            "is no longer an option: use --eval_mask_column",
        ),
        (["c.yaml", "--variants", "jiont"], "there is no variant 'jiont'; choose from: none, target"),
    ],
)
def test_a_wrong_call_is_one_line(argv, message, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_help_names_every_variant(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "joint-detached" in text and "--eval_mask_column" in text
