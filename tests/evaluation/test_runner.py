import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.evaluation.runner import judge_explainers


@pytest.fixture
def colour_model():
    """Says at every patch how red (class 0) and how green (class 1) it is; the image is what the first patch is."""
    model = PMViTForImageClassification(
        PMViTConfig(
            image_size=32, patch_size=8, hidden_size=4, num_attention_heads=1, num_hidden_layers=1, num_labels=2
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.vit.embeddings.cls_token[..., 0] = 1.0
        projection = model.vit.embeddings.patch_embeddings.projection
        projection.weight[0, 0], projection.weight[1, 1] = 1 / 64, 1 / 64
        projection.bias[2] = 0.5  # a black patch is neither
        model.vit.layernorm.weight.fill_(1)
        model.classifier.weight[0], model.classifier.weight[1] = (
            torch.tensor([9.0, -9.0, -9.0, 0.0]),
            torch.tensor([-9.0, 9.0, -9.0, 0.0]),
        )
    return model


@pytest.fixture
def dataset():
    """Red left above, green right below; the third has no mask."""
    ids = np.zeros((64, 64), np.uint8)
    ids[:32, :32], ids[32:, 32:] = 1, 2
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 255 * (ids == 1), 255 * (ids == 2)
    rows = {"image": [Image.fromarray(pixels)] * 3, "label": [0, 1, 0]}
    rows["mask"] = [Image.fromarray(ids), Image.fromarray(ids), None]
    features = {"image": ImageFeature(), "label": ClassLabel(names=["red", "green"]), "mask": ImageFeature()}
    return Dataset.from_dict(rows, features=Features(features))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_map_that_depends_on_the_class_wins_where_one_that_does_not_cannot(colour_model, dataset, batch_size):
    processor = PMViTImageProcessor(
        size={"height": 32, "width": 32}, patch_size=8, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )
    figures = judge_explainers(colour_model, processor, dataset, "class_id", batch_size=batch_size)
    assert figures["classifier"]["correct"].tolist() == [True, False, True]  # [CLS] says red
    ours, rollout = figures["pm-vit"], figures["rollout"]
    assert len(ours["iou"]) == len(ours["energy_inside"]) == 2
    assert ours["iou"].min() > 0.85
    assert ours["energy_inside"].min() > 0.75
    assert len(ours["own_object"]) == 4
    assert ours["own_object"].min() > 0.95
    assert rollout["own_object"] == pytest.approx(0.5, abs=0.01)  # all weights 0: the same everywhere
