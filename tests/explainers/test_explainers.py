"""What holds for every explainer."""

import copy

import numpy as np
import pytest
import torch

from modeling_pm_vit.explainers import EXPLAINERS, explainers
from modeling_pm_vit.explainers.registry import RENAMED_EXPLAINERS, explainer_names

QUICK = explainers(rise_masks=20, integration_steps=7)
LABELS = torch.tensor([0, 3, 1])
every_explainer = pytest.mark.parametrize("explainer", QUICK.values(), ids=QUICK)


@every_explainer
@pytest.mark.parametrize("size", ["images", "wide_images"])
def test_a_map_of_the_patches_or_pixels_the_same_alone_and_in_a_batch(model, explainer, size, request):
    pixels = request.getfixturevalue(size)
    height, width = pixels.shape[-2:]
    maps = explainer(model, pixels, LABELS)
    assert isinstance(maps, np.ndarray)
    assert maps.dtype == np.float32
    assert maps.shape in ((3, height // 8, width // 8), (3, height, width))
    assert np.isfinite(maps).all()
    alone = np.concatenate([explainer(model, pixels[i : i + 1], LABELS[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(maps, alone, atol=1e-5 * np.abs(maps).max())
    if explainer.gives_probabilities:
        assert maps.min() >= 0
        assert maps.max() <= 1


@every_explainer
def test_depends_on_the_class_as_declared(model, explainer, images):
    maps, others = (explainer(model, images, labels) for labels in (LABELS, (LABELS + 1) % 4))
    assert all(np.allclose(a, b) != explainer.depends_on_class for a, b in zip(maps, others, strict=True))


@every_explainer
def test_takes_the_passes_that_it_declares(model, explainer, images):
    layer = model.base_model.layers[-1]
    forward, backward = [], []
    layer.register_forward_hook(lambda module, inputs, output: forward.append(len(output)))
    layer.mlp.fc1.register_full_backward_hook(lambda module, inputs, outputs: backward.append(len(outputs[0])))
    explainer(model, images, LABELS)
    assert explainer.passes_vary or sum(forward) == explainer.forward_passes * len(images)
    assert sum(backward) == explainer.backward_passes * len(images)


@every_explainer
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_leaves_the_model_as_it_was(model, explainer, images, frozen, implementation):
    model.set_attn_implementation(implementation)
    explainer(model, images, LABELS)  # transformers keeps the hooks with which it records attention
    model.requires_grad_(not frozen)
    model.train()
    model.classifier.eval()
    gradient = torch.ones_like(model.classifier.weight)
    model.classifier.weight.grad = gradient
    weights = copy.deepcopy(model.state_dict())

    def state():
        modules = [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in model.modules()]
        return modules, [(p.requires_grad, p.grad) for p in model.parameters() if p is not model.classifier.weight]

    before = state()
    pixels = images.clone()
    explainer(model, pixels, LABELS)
    assert state() == before
    assert model.config._attn_implementation == implementation
    assert model.classifier.weight.requires_grad == (not frozen)
    assert model.classifier.weight.grad is gradient
    assert (gradient == 1).all()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert torch.equal(pixels, images)
    assert pixels.grad is None


@every_explainer
def test_explains_a_model_in_training_as_in_evaluation(model, explainer, images):
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.5
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    expected = explainer(model, images, LABELS)
    np.testing.assert_array_equal(explainer(model.train(), images, LABELS), expected)


@every_explainer
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_switched_off(model, explainer, images, context):
    expected = explainer(model, images, LABELS)
    with context():
        maps = explainer(model, images.clone(), LABELS.clone())
    np.testing.assert_array_equal(maps, expected)


@every_explainer
def test_bfloat16(model, explainer, wide_images):
    maps = explainer(model.bfloat16(), wide_images.bfloat16(), LABELS)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()


@every_explainer
def test_under_autocast_only_the_model_is_rounded(model, explainer, images, monkeypatch):
    """`pm-vit evaluate --precision bf16`: with a model that stays exact, the maps are those of float32."""
    expected = explainer(model, images, LABELS)
    for module in model.children():
        monkeypatch.setattr(module, "forward", torch.autocast("cpu", enabled=False)(module.forward))
    with torch.autocast("cpu", torch.bfloat16):
        maps = explainer(model, images, LABELS)
    assert maps.dtype == np.float32
    tolerance = 0.1 if explainer.backward_passes else 1e-5  # autocast rounds the products of a backward pass too
    np.testing.assert_allclose(maps, expected, atol=tolerance * np.abs(expected).max())


def test_names_and_default_settings():
    assert all(explainer.name == name for name, explainer in EXPLAINERS.items())
    assert EXPLAINERS["rise"].forward_passes == 8000
    assert EXPLAINERS["rise"].settings == {"rise_masks": 8000, "rise_cells": 7, "rise_kept": 0.5}
    changed = explainers(rollout_start_layer=1, legrad_layers=2, integration_steps=5, rise_masks=3)
    assert {name for name, e in changed.items() if e.settings != EXPLAINERS[name].settings} == {
        "rollout", "legrad", "integrated-gradients", "rise"
    }  # fmt: skip
    assert EXPLAINERS["integrated-gradients"].backward_passes == 50
    assert [name for name, explainer in EXPLAINERS.items() if explainer.gives_probabilities] == ["pm-vit"]


def test_names_that_a_user_gives():
    assert set(RENAMED_EXPLAINERS.values()) <= set(EXPLAINERS)
    assert explainer_names(["rise", "prediction-map", "patch-logits"]) == ("rise", "patch-logits")
    assert explainer_names(["all"]) == tuple(EXPLAINERS)
    with pytest.raises(ValueError, match=r"no explainer 'gradcam'; choose from: random, .*, pm-vit\."):
        explainer_names(["gradcam"])


@every_explainer
def test_patches_that_are_not_square(make, explainer):
    model = make("pm-vit", patch_size=(8, 4), image_size=(32, 24))
    maps = explainer(model, torch.randn(3, 3, 16, 24), LABELS)
    assert maps.shape in ((3, 2, 6), (3, 16, 24))
    assert np.isfinite(maps).all()


def test_settings_are_given_by_name():
    with pytest.raises(TypeError):
        explainers(32, 8)  # which of six settings?
