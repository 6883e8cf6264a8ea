import numpy as np
import pytest
import torch
from transformers import EvalPrediction

from modeling_pm_vit.evaluation.evaluate_modules import load_metric
from modeling_pm_vit.metrics.class_report import CLASS_VALUES
from modeling_pm_vit.training.metrics import (
    TRAINING,
    class_metrics,
    classes_report,
    explanation_metrics,
    mean_map_values,
    metric_names,
)


def test_metrics_equal_values_computed_by_hand():
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]])  # a tie goes to the first class
    maps = np.array([[[0.9, 0.1]], [[0.5, 0.5]], [[0.0, 0.0]], [[0.7, 0.7]]])
    losses = np.array([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [6.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    masks = np.array([[[1.0, 0.4]], [[0.6, 0.0]], [[-100.0, -100.0]], [[-100.0, -100.0]]])
    labels = np.array([0, 0, 0, -100])  # the last one is a padding sample
    metrics = explanation_metrics(EvalPrediction((logits, maps, losses), (labels, masks)))
    expected = {"accuracy": 2 / 3, "patch_iou": 0.75, "object_found": 1, "energy_pointing_game": 0.7}
    expected |= {"loss": 3.0, "classification_loss": 1.0, "mask_loss": 2.0}
    assert metrics == pytest.approx(expected)


def test_patches_with_an_unknown_mask_are_excluded():
    maps, masks = np.array([[[0.9, 0.8, 0.3]]]), np.array([[[1.0, -100.0, 0.0]]])
    metrics = explanation_metrics(EvalPrediction((np.zeros((1, 2)), maps, np.zeros((1, 3))), (np.array([1]), masks)))
    assert metrics["patch_iou"] == 1
    assert metrics["energy_pointing_game"] == pytest.approx(0.75)


def test_an_empty_mask_is_counted_apart():
    """Of two images without the object one map is empty: neither is a perfect overlap, nor an overlap of nothing."""
    maps = np.array([[[0.9, 0.1]], [[0.2, 0.4]], [[0.2, 0.6]], [[0.9, 0.9]]])
    masks = np.array([[[1.0, 0.0]], [[0.0, 0.0]], [[0.0, -100.0]], [[0.0, 0.0]]])
    for chosen, expected in (
        (range(4), {"patch_iou": 1, "empty_masks": 3, "empty_mask_accuracy": 2 / 3}),
        ([0], {"patch_iou": 1}),
        ([3], {"empty_masks": 1, "empty_mask_accuracy": 0}),
    ):
        rows = list(chosen)
        arrays = (np.zeros((len(rows), 2)), maps[rows], np.zeros((len(rows), 3))), (np.zeros(len(rows)), masks[rows])
        metrics = explanation_metrics(EvalPrediction(*arrays))
        names = ("patch_iou", "empty_masks", "empty_mask_accuracy")
        assert {name: metrics[name] for name in names if name in metrics} == pytest.approx(expected)


def test_an_object_that_covers_no_patch_by_half_is_where_it_covers_most():
    """As a small lesion. The largest known coverage counts, however small; two equal ones both do."""
    masks = np.array([[[0.1, 0.4, 0.0]], [[0.01, -100.0, 0.0]], [[0.3, 0.3, 0.2]], [[0.6, 0.4, 0.0]]])
    maps = np.array([[[0.2, 0.9, 0.4]], [[0.5, 0.9, 0.5]], [[0.1, 0.9, 0.0]], [[0.9, 0.9, 0.2]]])
    found = mean_map_values(torch.tensor(maps)[:, None], torch.tensor(masks)[:, None])
    expected = [[1, 1, 0.9 / 1.5], [0.5, 1, 0.5], [0.5, 1, 1], [0.5, 1, 0.45]]
    np.testing.assert_allclose(found[:, :3], expected)
    assert found[:, 3].isnan().all()  # none is an empty mask


def test_without_masks_there_are_no_values_of_maps():
    prediction = EvalPrediction(
        (np.zeros((1, 2)), np.ones((1, 1, 1)), np.zeros((1, 3))), (np.array([1]), np.full((1, 1, 1), -100))
    )
    assert set(explanation_metrics(prediction)) == {"accuracy", "loss", "classification_loss", "mask_loss"}


@pytest.mark.parametrize("masks", [True, False])
def test_the_module_of_evaluate_gives_the_same_values_for_several_batches(tmp_path, masks):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 11)
    labels[7] = -100
    mask_labels = np.where(rng.random((11, 4, 5)) < 0.1, -100, rng.random((11, 4, 5))).astype(np.float32)
    mask_labels[[2, 3]] = -100
    if not masks:
        mask_labels[:] = -100
    inputs = {
        "predictions": rng.integers(0, 3, 11),
        "heatmaps": rng.random((11, 4, 5), np.float32),
        "losses": rng.random((11, 3), np.float32),
        "labels": labels,
        "mask_labels": mask_labels,
    }
    metric = load_metric(TRAINING, cache_dir=str(tmp_path))
    for rows in (slice(0, 4), slice(4, 5), slice(5, 11)):
        metric.add_batch(**{name: values[rows] for name, values in inputs.items()})
    values = metric.compute()
    predictions = (np.eye(3)[inputs["predictions"]], inputs["heatmaps"], inputs["losses"])
    expected = explanation_metrics(EvalPrediction(predictions, (labels, mask_labels)))
    assert len(expected) == (7 if masks else 4)
    assert {name: value for name, value in values.items() if not np.isnan(value)} == pytest.approx(expected)


def test_several_labels_per_image_by_hand():
    logits = np.array([[2.0, 0.0], [1.0, 3.0], [0.0, 1.0], [5.0, 5.0], [9.0, 9.0]])
    labels = np.array([[1, 0], [0, -100], [1, 1], [-100, -100], [-100, -100]])  # then one with a mask, and padding
    maps = np.full((5, 4), np.nan)
    maps[0], maps[1, :3] = [1.0, 1.0, 0.5, 0.5], [0.5, 0.0, 0.7]
    losses = np.zeros((5, 3))
    losses[0] = [10.0, 5.0, 2.5]  # with a weight of the mask loss of 2
    has_mask = np.array([True, True, False, True, False])
    prediction = EvalPrediction((logits, maps, losses), (labels, has_mask))
    expected = {"mean_average_precision": (5 / 6 + 1) / 2, "auroc": 0.75}
    expected |= {
        "patch_iou": 0.75,
        "object_found": 0.5,
        "energy_pointing_game": 0.6,
        "empty_mask_accuracy": 0.5,
        "empty_masks": 1,
    }
    expected |= {"classification_loss": 5 / 2.5, "mask_loss": 2.5 / 4, "loss": 5 / 2.5 + 2 * 2.5 / 4}
    assert explanation_metrics(prediction) == pytest.approx(expected)
    found = class_metrics(classes_report(prediction, 0.9), ["cat", "dog"])
    assert {name: found[name] for name in expected if name in found} == pytest.approx(
        {"mean_average_precision": (5 / 6 + 1) / 2, "auroc": 0.75}
    )
    assert (found["auroc_cat"], found["auroc_dog"]) == (0.5, 1.0)


def test_a_class_without_a_value_has_none_and_does_not_count_in_the_means():
    logits, labels = np.array([[2.0, 0.0], [1.0, 3.0]]), np.array([[1, 0], [0, 0]])
    nothing = np.full((2, 4), np.nan)
    prediction = EvalPrediction((logits, nothing, np.zeros((2, 3))), (labels, np.zeros(2, bool)))
    values = explanation_metrics(prediction) | class_metrics(classes_report(prediction, 0.9), ["cat", "dog"])
    assert values["auroc"] == values["auroc_cat"] == values["mean_average_precision"] == 1
    assert not {"auroc_dog", "patch_iou"} & set(values)


def test_map_values_are_means_over_the_masks_of_an_image():
    maps = torch.tensor([[[0.9, 0.1], [0.5, 0.5], [0.2, 0.2]], [[0.7, 0.7], [0.2, 0.2], [0.1, 0.1]]]).unsqueeze(2)
    masks = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).view(1, 3, 1, 2)
    values = mean_map_values(maps, torch.cat([masks, torch.full_like(masks, -100.0)]))
    assert values[0].tolist() == pytest.approx([0.75, 1.0, 0.7, 1.0])
    assert values[1].isnan().all()


def test_a_class_is_logged_by_its_recall_and_by_what_is_asked_for():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(12, 3)), np.arange(12) % 3
    prediction = EvalPrediction((logits, np.zeros((12, 1, 1)), np.zeros((12, 3))), (labels, np.full((12, 1, 1), -100)))
    report, names = classes_report(prediction, 0.9), ["cat", "dog", "f1_elk"]
    values = class_metrics(report, names, "precision_f1_elk")
    of_classes = {"recall_cat", "recall_dog", "recall_f1_elk", "precision_f1_elk"}
    assert set(values) == {"balanced_accuracy", "macro_f1", "auroc", "sensitivity_at_specificity"} | of_classes
    hits = logits.argmax(1) == labels
    assert values["balanced_accuracy"] == pytest.approx(np.mean([hits[labels == c].mean() for c in range(3)]))
    never = EvalPrediction((np.eye(3)[[0] * 12], *prediction.predictions[1:]), prediction.label_ids)
    assert class_metrics(classes_report(never, 0.9), names, "precision_dog")["precision_dog"] == 0  # never named
    known = metric_names(names, several=False)
    assert set(values) | set(explanation_metrics(prediction)) <= set(known)
    assert {f"{of}_dog" for of in CLASS_VALUES} <= set(known)
