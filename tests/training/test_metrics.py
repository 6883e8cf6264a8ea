import numpy as np
import pytest
from transformers import EvalPrediction

from modeling_pm_vit.training.metrics import explanation_metrics


def test_metrics_by_hand():
    predicted = np.array([0, 1, 0, 0])
    maps = np.array([[[0.9, 0.1]], [[0.5, 0.5]], [[0.0, 0.0]], [[0.7, 0.7]]])
    losses = np.array([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [6.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    masks = np.array([[[1.0, 0.4]], [[0.6, 0.0]], [[-100.0, -100.0]], [[-100.0, -100.0]]])
    labels = np.array([0, 0, 0, -100])  # the last one is a blank
    metrics = explanation_metrics(EvalPrediction((predicted, maps, losses), (labels, masks)))
    expected = {"accuracy": 2 / 3, "patch_iou": 0.75, "energy_inside": 0.7}
    expected |= {"loss": 3.0, "classification_loss": 1.0, "mask_loss": 2.0}
    assert metrics == pytest.approx(expected)


def test_patches_of_which_nothing_is_known_do_not_count():
    maps, masks = np.array([[[0.9, 0.8, 0.3]]]), np.array([[[1.0, -100.0, 0.0]]])
    metrics = explanation_metrics(EvalPrediction((np.array([1]), maps, np.zeros((1, 3))), (np.array([1]), masks)))
    assert metrics["patch_iou"] == 1
    assert metrics["energy_inside"] == pytest.approx(0.75)


def test_without_masks_there_are_no_figures_of_maps():
    prediction = EvalPrediction(
        (np.array([1]), np.ones((1, 1, 1)), np.zeros((1, 3))), (np.array([1]), np.full((1, 1, 1), -100))
    )
    assert set(explanation_metrics(prediction)) == {"accuracy", "loss", "classification_loss", "mask_loss"}
