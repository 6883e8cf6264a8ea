"""The record that a run leaves for the model card."""

import json

import numpy as np
import pytest
from transformers import EvalPrediction

from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.training.summary import SUMMARY, class_results
from tests.training.conftest import write_several_labels


def read(folder):
    text = (folder / SUMMARY).read_text()
    assert str(folder) not in text and "/tmp" not in text
    return json.loads(text)


def test_the_results_of_a_class_are_those_of_its_images():
    predictions, labels = np.array([0, 1, 1, 2]), np.array([0, 0, 1, -100])
    maps = np.zeros((4, 2, 2), np.float32)
    maps[0, 0] = 1
    masks = np.full((4, 2, 2), -100.0)
    masks[0] = [[1, 0], [0, 0]]
    masks[1] = 0  # empty: counted apart
    found = class_results(EvalPrediction((predictions, maps, None), (labels, masks)), ["cat", "dog", "elk"])
    assert found == {
        "cat": {"accuracy": 0.5, "patch_iou": 0.5, "energy_pointing_game": 0.5},
        "dog": {"accuracy": 1.0},
        "elk": {},
    }


def test_the_results_of_a_class_among_several_are_of_its_ranking():
    scores, labels = np.array([[3.0, 0], [2, 1], [1, 2]]), np.array([[1, 0], [0, 0], [1, -100]])
    found = class_results(EvalPrediction((scores, None, None), (labels, None)), ["cat", "dog"])
    assert found["cat"] == {"average_precision": pytest.approx(5 / 6), "auroc": 0.5}
    assert found["dog"] == {}


@pytest.mark.slow
def test_a_run_says_what_it_was_trained_on(run, flags, tmp_path):
    metrics = run(flags, "--frozen_layers", 0)
    summary = read(tmp_path / "run")
    assert (summary["data"], summary["train_split"], summary["eval_split"]) == ("synthetic", "train", "validation")
    assert (summary["base_model"], summary["frozen_layers"], summary["seed"]) == (None, 0, 42)
    assert summary["train"] == {"images": 24, "masks": 6}  # --mask_fraction 0.25
    assert summary["evaluation"]["images"] == 8
    assert summary["mask_encoding"] == "class_id"
    assert list(summary["classes"]) == CLASSES
    labels = synthetic_dataset("validation", 8)["label"][:]
    for name, of in summary["classes"].items():
        assert of["evaluation"]["images"] == labels.count(CLASSES.index(name))
    assert sum(of["train"]["images"] for of in summary["classes"].values()) == 24
    assert sum(of["train"]["masks"] for of in summary["classes"].values()) == 6
    hits = [of["evaluation"].get("accuracy", 0) * of["evaluation"]["images"] for of in summary["classes"].values()]
    assert sum(hits) / 8 == pytest.approx(metrics["eval_accuracy"])
    assert summary["metrics"]["patch_iou"] == metrics["eval_patch_iou"]
    assert not any("runtime" in name for name in summary["metrics"])


@pytest.mark.slow
def test_a_run_with_several_labels_counts_each_of_them(run, flags, tmp_path):
    write_several_labels(tmp_path)
    metrics = run(flags, "--data", tmp_path, "--mask_column", "none", "--mask_fraction", 1)
    summary = read(tmp_path / "run")
    assert summary["data"] == tmp_path.name
    assert summary["mask_encoding"] is None and "masks" not in summary["train"]
    assert sum(of["train"]["images"] for of in summary["classes"].values()) > 16
    found = [of["evaluation"]["auroc"] for of in summary["classes"].values() if "auroc" in of["evaluation"]]
    assert np.mean(found) == pytest.approx(metrics["eval_auroc"])
