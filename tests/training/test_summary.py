"""The record that a run leaves for the model card."""

import json

import numpy as np
import pytest
from transformers import EvalPrediction

from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.training.metrics import classes_report
from modeling_pm_vit.training.summary import SUMMARY, evaluation_summary
from tests.training.conftest import write_several_labels


def read(folder):
    text = (folder / SUMMARY).read_text()
    assert str(folder) not in text and "/tmp" not in text
    return json.loads(text)


def test_the_results_of_a_class_are_those_of_its_images():
    logits, labels = np.eye(3)[[0, 1, 1, 2]], np.array([0, 0, 1, -100])
    maps = np.zeros((4, 2, 2), np.float32)
    maps[0, 0] = 1
    masks = np.full((4, 2, 2), -100.0)
    masks[0] = [[1, 0], [0, 0]]
    masks[1] = 0  # empty: counted apart
    prediction = EvalPrediction((logits, maps, None), (labels, masks))
    found = evaluation_summary(prediction, classes_report(prediction, 0.9), ["cat", "dog", "elk"])
    assert (found["images"], found["accuracy"], found["objects"]) == (3, pytest.approx(2 / 3), 1)
    cat, dog, elk = found["classes"].values()
    assert {
        name: cat[name] for name in ("images", "recall", "precision", "missed_as", "object_found", "outline_iou")
    } == {
        **{"images": 2, "recall": 0.5, "precision": 1.0, "missed_as": {"dog": 1}, "object_found": 1.0},
        "outline_iou": 0.5,
    }
    assert (dog["recall"], dog["precision"], dog["missed_as"]) == (1.0, 0.5, {}) and "objects" not in dog
    assert elk == {"images": 0, "intervals": {}}


def test_the_results_of_a_class_among_several_are_of_its_ranking():
    scores, labels = np.array([[3.0, 0], [2, 1], [1, 2]]), np.array([[1, 0], [0, 0], [1, -100]])
    prediction = EvalPrediction((scores, None, None), (labels, None))
    found = evaluation_summary(prediction, classes_report(prediction, 0.9), ["cat", "dog"])["classes"]
    assert found["cat"]["average_precision"] == pytest.approx(5 / 6)
    assert found["cat"]["auroc"] == 0.5
    assert "auroc" not in found["dog"]


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
    hits = [of["evaluation"].get("recall", 0) * of["evaluation"]["images"] for of in summary["classes"].values()]
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
