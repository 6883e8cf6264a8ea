"""PM-ViT's own explanation."""

import numpy as np
import torch


@torch.no_grad()
def patch_masks(model: torch.nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """
    The probability of the class at every patch, in [0, 1]. One forward pass, shared with the classification.
    """
    outputs = model(pixel_values, explain_labels=labels.unsqueeze(1))
    return outputs.mask_logits[:, 0].float().sigmoid().cpu().numpy()
