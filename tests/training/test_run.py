import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.synthetic import CLASSES

pytestmark = pytest.mark.slow  # whole runs


def test_a_run_leaves_a_folder_that_the_auto_classes_load(run, flags, tmp_path):
    metrics = run(flags)
    assert {"eval_accuracy", "eval_patch_iou", "eval_energy_pointing_game"} <= set(metrics)
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert isinstance(model, PMViTForImageClassification)
    assert [model.config.id2label[i] for i in range(len(CLASSES))] == CLASSES
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run")
    assert (processor.size.height, processor.patch_size) == (32, 8)
    assert not list((tmp_path / "run").rglob("*.bin"))


def test_both_terms_are_logged_and_make_up_the_loss(run, flags, tmp_path):
    run(flags)
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    steps = [entry for entry in history if "loss" in entry]
    assert len(steps) == 3
    for entry in steps:
        expected = entry["classification_loss"] + 2.5 * entry["mask_loss"]
        assert entry["loss"] == pytest.approx(expected, abs=2e-3)  # Trainer rounds the loss to four digits
    assert any(entry["mask_loss"] > 0 for entry in steps)


@pytest.mark.parametrize(("fraction", "weight"), [(0.125, 2.0), (0.25, 1.0), (0.5, 1.0)])
def test_the_default_mask_loss_weight_is_larger_for_rare_masks(run, flags, tmp_path, fraction, weight):
    at = flags.index("--mask_loss_weight")
    run(flags[:at] + flags[at + 2 :], "--mask_fraction", fraction)
    assert AutoModel.from_pretrained(tmp_path / "run").config.mask_loss_weight == pytest.approx(weight)


def test_a_checkpoint_with_other_classes_and_another_size_can_be_the_start(run, flags, tmp_path):
    run(flags)
    start = PMViTConfig(
        image_size=64, patch_size=16, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_labels=3
    )
    start.intermediate_size = 32
    PMViTForImageClassification(start).save_pretrained(tmp_path / "start")
    PMViTImageProcessor(image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path / "start")
    run([*flags, "--model", str(tmp_path / "start"), "--image_size", "48", "--frozen_layers", "1"])
    trained = AutoModel.from_pretrained(tmp_path / "run")
    assert trained.config.num_labels == len(CLASSES)
    before = PMViTForImageClassification.from_pretrained(tmp_path / "start").vit
    assert torch.equal(trained.vit.layers[0].mlp.fc1.weight, before.layers[0].mlp.fc1.weight)
    assert not torch.equal(trained.vit.layers[1].mlp.fc1.weight, before.layers[1].mlp.fc1.weight)
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run")
    assert (processor.size.height, processor.patch_size, list(processor.image_mean)) == (48, 16, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("settings", "decay"),
    [([], 1.0), (["--model", "start"], 0.75), (["--model", "start", "--frozen_layers", "1"], 1.0)],
)
def test_full_fine_tuning_has_layer_decay_by_default(run, flags, tmp_path, monkeypatch, settings, decay):
    monkeypatch.chdir(tmp_path)
    config = PMViTConfig(image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
    PMViTForImageClassification(config).save_pretrained("start")
    PMViTImageProcessor(patch_size=8).save_pretrained("start")
    run([*flags, *settings])
    assert json.loads((tmp_path / "run" / "training_args.json").read_text())["layer_decay"] == decay


def test_training_without_masks_has_no_mask_loss(run, flags, tmp_path):
    run([*flags, "--mask_column", "none"])
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert {entry["mask_loss"] for entry in history if "loss" in entry} == {0.0}


def test_missing_columns_are_named(run, flags):
    with pytest.raises(ValueError, match=r"no column 'segmentation'; its columns are .*mask"):
        run([*flags, "--mask_column", "segmentation"])


def test_a_compiled_run_evaluates_and_saves_like_any_other(run, flags, tmp_path):
    settings = ("--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2")
    settings += ("--num_hidden_layers", "1")  # each layer is compiled anew
    expected = run([*flags, *settings])
    compiled = ("--torch_compile", True, "--torch_compile_backend", "aot_eager", "--load_best_model_at_end", True)
    found = run([*flags, *settings], *compiled, "--output_dir", tmp_path / "compiled")
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], rel=0.2)  # the best of two, not the last
    saved, other = (load_file(folder / "model.safetensors") for folder in (tmp_path / "compiled", tmp_path / "run"))
    assert saved.keys() == other.keys()


def test_the_best_checkpoint_is_the_best_by_the_value_of_a_class(run, flags, tmp_path):
    kept = ["--load_best_model_at_end", "--eval_strategy", "steps", "--save_strategy", "steps"]
    kept += ["--eval_steps", "1", "--save_steps", "1", "--metric_for_best_model"]
    metrics = run(flags, *kept, "precision_leaf", "--max_eval_samples", 40)
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    found = [entry.get("eval_precision_leaf") for entry in state["log_history"]]
    known = [value for value in found if value is not None]
    assert known and state["best_metric"] == max(known) == metrics["eval_precision_leaf"]


def test_a_value_that_no_evaluation_has_is_refused_before_the_first_step(run, flags):
    with pytest.raises(ValueError, match=r"--metric_for_best_model recall_leef: .* the nearest is recall_leaf"):
        run(flags, "--metric_for_best_model", "recall_leef")
