"""Compares the outputs of an exported graph with those of the PyTorch model."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..explanation_pm_vit import map_probabilities
from ..image_processing_pm_vit import PMViTImageProcessor
from ..metrics.overlap import intersection_over_union
from ..modeling_pm_vit import PMViTForImageClassification
from .graph import OUTPUTS

# Minimum values for a graph of any precision to replace the model.
MIN_AGREEMENT = {"top1_agreement": 0.99, "mask_iou": 0.95}


@torch.no_grad()
def measure_agreement(
    model: PMViTForImageClassification,
    processor: PMViTImageProcessor,
    graph: Path,
    images: Sequence[Image.Image],
    batch_size: int = 32,
) -> dict[str, float]:
    """
    Returns:
        `logit_difference` and `mask_difference`, the largest absolute differences (of mask probabilities, over all
        classes and patches); `top1_agreement`, the share of images with the same most probable class; `mask_iou`, the
        mean intersection over union of the two masks (probability at least 0.5, at the input size of the model) of
        PyTorch's most probable class, over the images where one of them is not empty, which are the share
        `mask_share`; 1 if there is none. A difference is NaN if the graph gives NaN, as one in fp16 does where values
        exceed its range.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    logit_difference = mask_difference = 0.0
    same, overlaps, filled = [], [], []
    for start in range(0, len(images), batch_size):
        pixel_values = processor(list(images[start : start + batch_size]), return_tensors="pt").pixel_values
        expected = model(pixel_values, explain_labels=_all_classes(len(pixel_values), model.config.num_labels))
        logits, _, masks = session.run(list(OUTPUTS), {"pixel_values": pixel_values.numpy()})
        expected_masks = map_probabilities(expected.mask_logits, model.config)
        masks = torch.from_numpy(masks)
        logit_difference = float(np.maximum(logit_difference, np.abs(logits - expected.logits.numpy()).max()))
        mask_difference = float(np.maximum(mask_difference, (masks - expected_masks).abs().max()))
        top = expected.logits.argmax(-1)
        same.append(logits.argmax(-1) == top.numpy())
        shown = [_at_full_size(m[torch.arange(len(top)), top], pixel_values) for m in (masks, expected_masks)]
        overlaps.append(intersection_over_union(*shown))
        filled.append((shown[0] | shown[1]).any((-2, -1)))
    shares, is_filled = np.concatenate(overlaps), np.concatenate(filled)
    return {
        "logit_difference": logit_difference,
        "mask_difference": mask_difference,
        "top1_agreement": float(np.concatenate(same).mean()),
        "mask_iou": float(shares[is_filled].mean()) if is_filled.any() else 1.0,
        "mask_share": float(is_filled.mean()),
    }


def shortfalls(agreement: Mapping[str, float], least: Mapping[str, float] = MIN_AGREEMENT) -> list[str]:
    """What keeps a graph from replacing the model, from what [`measure_agreement`] returned. Empty: nothing."""
    too_low = [(key, float(agreement[key]), minimum) for key, minimum in least.items()]
    found = [f"{key} {value:.4f} < {minimum}" for key, value, minimum in too_low if not value >= minimum]
    differences = ("logit_difference", "mask_difference")
    return found + [f"{key} is not finite" for key in differences if not math.isfinite(agreement[key])]


def _all_classes(batch_size: int, num_labels: int) -> torch.Tensor:
    return torch.arange(num_labels).expand(batch_size, -1)


def _at_full_size(maps: torch.Tensor, pixel_values: torch.Tensor) -> np.ndarray:
    """Maps `(batch, h, w)` as boolean masks `(batch, height, width)`."""
    maps = torch.nn.functional.interpolate(maps.unsqueeze(1), size=pixel_values.shape[2:], mode="bilinear")
    return (maps.squeeze(1) >= 0.5).numpy()
