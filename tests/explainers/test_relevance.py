import numpy as np
import torch

from modeling_pm_vit.explainers.relevance import attention_relevance


def test_equals_the_rule_written_out_for_one_image_at_a_time(model, images):
    labels = torch.tensor([0, 3, 1])
    maps = attention_relevance(model, images, labels)
    model.double().set_attn_implementation("eager")
    for image, label, heatmap in zip(images, labels, maps, strict=True):
        outputs = model(image[None].double(), output_attentions=True)
        relevance = np.eye(17)
        for attention in outputs.attentions:
            (gradient,) = torch.autograd.grad(outputs.logits[0, label], attention, retain_graph=True)
            weighted = (gradient[0] * attention[0]).detach().numpy()
            head_mean = sum(np.maximum(head, 0) for head in weighted) / len(weighted)
            relevance = relevance + head_mean @ relevance
        np.testing.assert_allclose(heatmap.ravel(), relevance[0, 1:], atol=1e-5 * relevance[0, 1:].max())
