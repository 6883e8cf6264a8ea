import json

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, EvalPrediction

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.training.trainer import explanation_metrics, freeze_layers


@pytest.fixture
def flags(tmp_path):
    settings = {
        **{"output_dir": tmp_path / "run", "image_size": 32, "patch_size": 8, "hidden_size": 16, "use_cpu": True},
        **{"num_hidden_layers": 2, "num_attention_heads": 2, "mask_encoding": "class_id", "mask_fraction": 0.25},
        **{"train_size": 24, "eval_size": 8, "per_device_train_batch_size": 8, "max_steps": 3, "logging_steps": 1},
        **{"eval_strategy": "no", "save_strategy": "no", "disable_tqdm": True, "mask_loss_weight": 2.5},
    }
    return [str(x) for key, value in settings.items() for x in (f"--{key}", value)]


def run(flags):
    return train(*parse_arguments(flags))


def test_a_run_leaves_a_folder_that_the_auto_classes_load(flags, tmp_path):
    metrics = run(flags)
    assert {"eval_accuracy", "eval_patch_iou", "eval_energy_inside"} <= set(metrics)
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert isinstance(model, PMViTForImageClassification)
    assert [model.config.id2label[i] for i in range(len(CLASSES))] == CLASSES
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run")
    assert (processor.size.height, processor.patch_size) == (32, 8)
    assert not list((tmp_path / "run").rglob("*.bin"))


def test_both_terms_are_logged_and_make_up_the_loss(flags, tmp_path):
    run(flags)
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    steps = [entry for entry in history if "loss" in entry]
    assert len(steps) == 3
    for entry in steps:
        expected = entry["classification_loss"] + 2.5 * entry["mask_loss"]
        assert entry["loss"] == pytest.approx(expected, abs=2e-3)  # Trainer rounds the loss to four digits
    assert any(entry["mask_loss"] > 0 for entry in steps)


def test_the_default_weight_of_the_mask_loss_makes_both_terms_weigh_the_same(flags, tmp_path):
    at = flags.index("--mask_loss_weight")
    run(flags[:at] + flags[at + 2 :])
    assert AutoModel.from_pretrained(tmp_path / "run").config.mask_loss_weight == pytest.approx(1 / 0.25)


def test_a_checkpoint_with_other_classes_and_another_size_can_be_the_start(flags, tmp_path):
    run(flags)
    start = PMViTConfig(
        image_size=64, patch_size=16, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_labels=3
    )
    start.intermediate_size = 32
    PMViTForImageClassification(start).save_pretrained(tmp_path / "start")
    from modeling_pm_vit import PMViTImageProcessor

    PMViTImageProcessor(image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path / "start")
    run([*flags, "--model", str(tmp_path / "start"), "--image_size", "48", "--frozen_layers", "1"])
    trained = AutoModel.from_pretrained(tmp_path / "run")
    assert trained.config.num_labels == len(CLASSES)
    before = PMViTForImageClassification.from_pretrained(tmp_path / "start").vit
    assert torch.equal(trained.vit.layers[0].mlp.fc1.weight, before.layers[0].mlp.fc1.weight)
    assert not torch.equal(trained.vit.layers[1].mlp.fc1.weight, before.layers[1].mlp.fc1.weight)
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run")
    assert (processor.size.height, processor.patch_size, list(processor.image_mean)) == (48, 16, [0.1, 0.2, 0.3])


def test_training_without_masks_has_no_mask_loss(flags, tmp_path):
    run([*flags, "--mask_column", "none"])
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert {entry["mask_loss"] for entry in history if "loss" in entry} == {0.0}


def test_missing_columns_are_named(flags):
    with pytest.raises(ValueError, match=r"no column 'segmentation'; its columns are .*mask"):
        run([*flags, "--mask_column", "segmentation"])


def test_metrics_by_hand():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    maps = np.array([[[0.9, 0.1]], [[0.5, 0.5]], [[0.0, 0.0]]])
    masks = np.array([[[1.0, 0.4]], [[0.6, 0.0]], [[-100.0, -100.0]]])
    metrics = explanation_metrics(EvalPrediction((logits, maps), (np.array([0, 0, 0]), masks)))
    assert metrics == pytest.approx({"accuracy": 2 / 3, "patch_iou": 0.75, "energy_inside": 0.7})


@pytest.mark.parametrize("count", [-1, 3])
def test_too_many_frozen_layers_are_refused(count):
    model = PMViTForImageClassification(
        PMViTConfig(image_size=16, hidden_size=8, num_hidden_layers=2, num_attention_heads=1)
    )
    with pytest.raises(ValueError, match=r"0 \.\.\. 2"):
        freeze_layers(model, count)
