import numpy as np
import torch

from modeling_pm_vit.explainers import pm_vit_map
from modeling_pm_vit.explainers.patch_logits import patch_logits

LABELS = torch.tensor([2, 0, 3])


def test_both_apply_the_classifier_to_the_final_patch_tokens(model, images):
    with torch.no_grad():
        tokens = model.vit(images).last_hidden_state[:, 1:]
        logits = tokens @ model.classifier.weight.T + model.classifier.bias
    logits = torch.stack([logits[i, :, label] for i, label in enumerate(LABELS)])
    np.testing.assert_allclose(patch_logits(model, images, LABELS).reshape(3, 16), logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(pm_vit_map(model, images, LABELS).reshape(3, 16), logits.sigmoid().numpy(), atol=1e-6)
