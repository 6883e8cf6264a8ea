import numpy as np
import torch
from captum.attr import IntegratedGradients

from modeling_pm_vit.explainers.integrated_gradients import integrated_gradients

LABELS = torch.tensor([0, 3, 1])


def test_equals_captum_called_directly(model, wide_images):
    def logits(pixel_values):
        return model(pixel_values, interpolate_pos_encoding=True).logits

    attributions = IntegratedGradients(logits).attribute(
        wide_images, baselines=torch.zeros_like(wide_images), target=LABELS.tolist(), n_steps=50
    )
    expected = attributions.sum(1).numpy()
    np.testing.assert_allclose(integrated_gradients(model, wide_images, LABELS), expected, atol=1e-6)


def test_the_attributions_add_up_to_the_difference_of_the_logits(model, images):
    heatmaps = integrated_gradients(model, images, LABELS, steps=1000)
    with torch.no_grad():
        difference = (model(images).logits - model(torch.zeros_like(images)).logits)[range(3), LABELS]
    np.testing.assert_allclose(heatmaps.sum((1, 2)), difference.numpy(), atol=1e-4)
