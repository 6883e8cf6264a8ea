"""The PM-ViT map."""

from collections.abc import Sequence

import numpy as np
import torch

from ..configuration_pm_vit import PMViTConfig
from ..explanation_pm_vit import map_probabilities
from .patch_logits import patch_logits
from .vit import ViTClassifier, class_labels


@torch.no_grad()
def pm_vit_map(
    model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor | Sequence[int] | int
) -> np.ndarray:
    """
    The probability of the class at every patch, in [0, 1]. One forward pass, shared with the classification.

    A plain ViT is explained like a PM-ViT with the same weights.
    """
    labels = class_labels(labels, pixel_values, model)
    if model.config.model_type != PMViTConfig.model_type:
        return map_probabilities(torch.from_numpy(patch_logits(model, pixel_values, labels)), model.config).numpy()
    outputs = model(pixel_values, explain_labels=labels.unsqueeze(1), return_dict=True)
    return map_probabilities(outputs.mask_logits[:, 0].float(), model.config).cpu().numpy()


@torch.no_grad()
def class_id_map(
    model: ViTClassifier, pixel_values: torch.Tensor, size: tuple[int, int], threshold: float = 0.5
) -> np.ndarray:
    """
    The classes that a PM-ViT sees in one image: for each pixel the most probable class + 1, or 0 if no class reaches
    the threshold.

    Args:
        model: a PM-ViT.
        pixel_values: `(1, channels, height, width)`.
        size: (height, width) of the result; the probabilities are interpolated bilinearly.
        threshold: probability that a class has to reach.
    """
    classes = torch.arange(model.config.num_labels, device=pixel_values.device)
    mask_logits = model(pixel_values, explain_labels=classes.unsqueeze(0)).mask_logits
    probabilities = map_probabilities(mask_logits.float(), model.config)
    best = torch.full(size, threshold, device=pixel_values.device)
    ids = torch.zeros(size, dtype=torch.long, device=pixel_values.device)
    for start in range(0, len(classes), 32):  # 1,000 maps of the size of a photograph take gigabytes
        part = torch.nn.functional.interpolate(
            probabilities[:, start : start + 32], size=size, mode="bilinear", align_corners=False
        )[0]
        highest, which = part.max(0)
        better = (highest > best) | ((ids == 0) & (highest >= best))
        best, ids = torch.where(better, highest, best), torch.where(better, which + start + 1, ids)
    return ids.cpu().numpy()
