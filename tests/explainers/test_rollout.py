import numpy as np
import pytest
import torch

from modeling_pm_vit.explainers import attention_rollout


def test_rollout_equals_the_product_written_out(model, images):
    maps = attention_rollout(model, images, torch.zeros(3))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = model(images, output_attentions=True).attentions
    for image in range(3):
        flow = np.eye(17)
        for attention in attentions:
            flow = (attention[image].mean(0).double().numpy() + np.eye(17)) / 2 @ flow
        np.testing.assert_allclose(maps[image].ravel(), flow[0, 1:], atol=1e-6)


def test_it_may_start_at_a_later_layer(model, images):
    maps = attention_rollout(model, images, torch.zeros(3), start_layer=2)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        last = model(images, output_attentions=True).attentions[2].mean(1)[:, 0, 1:]
    np.testing.assert_allclose(maps.reshape(3, -1), last / 2, atol=1e-6)
    with pytest.raises(ValueError, match=r"0 \.\.\. 2, got start_layer=3"):
        attention_rollout(model, images, torch.zeros(3), start_layer=3)
