import numpy as np
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
