import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.explainers import EXPLAINERS, attention_rollout, patch_masks

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 4}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PMViTForImageClassification(PMViTConfig(image_size=32, patch_size=8, **SIZES)).eval()


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_every_explainer_gives_a_map_of_the_patches(model, name, size):
    implementation = model.config._attn_implementation
    maps = EXPLAINERS[name](model, torch.rand(3, 3, *size), torch.tensor([0, 3, 1]))
    assert isinstance(maps, np.ndarray)
    assert maps.shape == (3, size[0] // 8, size[1] // 8)
    assert np.isfinite(maps).all()
    assert model.config._attn_implementation == implementation


def test_patch_masks_are_the_models_probabilities_of_the_asked_class(model):
    pixels, labels = torch.rand(2, 3, 32, 32), torch.tensor([2, 0])
    with torch.no_grad():
        tokens = model.vit(pixels).last_hidden_state[:, 1:]
        expected = (tokens @ model.classifier.weight.T + model.classifier.bias).sigmoid()
    for i, label in enumerate(labels):
        assert patch_masks(model, pixels, labels)[i].ravel() == pytest.approx(expected[i, :, label].numpy(), abs=1e-6)


def test_rollout_equals_the_product_written_out():
    torch.manual_seed(0)
    config = ViTConfig(image_size=32, patch_size=8, attn_implementation="eager", **SIZES)
    model = ViTForImageClassification(config).eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        attentions = model(pixels, output_attentions=True).attentions
    for image in range(2):
        flow = np.eye(17)
        for attention in attentions:
            flow = (attention[image].mean(0).double().numpy() + np.eye(17)) / 2 @ flow
        assert attention_rollout(model, pixels, torch.zeros(2))[image].ravel() == pytest.approx(flow[0, 1:], abs=1e-6)
