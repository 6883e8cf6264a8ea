"""The two maps that do not look at the model, and raw attention."""

import numpy as np
import pytest
import torch

from modeling_pm_vit.explainers.gaussian import centred_gaussian
from modeling_pm_vit.explainers.random_map import random_map
from modeling_pm_vit.explainers.raw_attention import raw_attention

LABELS = torch.zeros(3, dtype=torch.long)


def test_random_maps_follow_the_image_and_fill_the_unit_interval(vit, images):
    maps = random_map(vit, images, LABELS)
    np.testing.assert_array_equal(random_map(vit, images.flip(0), LABELS), maps[::-1])
    changed = images.clone()
    changed[0, 0, 0, 0] += 1e-3
    others = random_map(vit, changed, LABELS)
    assert not np.isclose(others[0], maps[0]).any()
    np.testing.assert_array_equal(others[1:], maps[1:])
    many = random_map(vit, torch.randn(200, 3, 32, 32), torch.zeros(200))
    assert many.min() >= 0
    assert many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.02)
    assert many.std() == pytest.approx(12**-0.5, abs=0.02)


def test_gaussian_has_its_maximum_in_the_middle_and_is_symmetric(vit, wide_images):
    for heatmap in centred_gaussian(vit, wide_images, LABELS):
        assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (1, 2)
        assert heatmap[1, 2] == 1
        np.testing.assert_allclose(heatmap, heatmap[::-1, ::-1])
        assert heatmap[1, 0] == pytest.approx(np.exp(-((0.4 / 0.25) ** 2) / 2))  # .4 of the width from the middle


def test_raw_attention_is_the_last_layers(model, images):
    maps = raw_attention(model, images, LABELS)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attention = model(images, output_attentions=True).attentions[-1].numpy()
    np.testing.assert_allclose(maps.reshape(3, 16), attention[:, :, 0, 1:].mean(1), atol=1e-6)
