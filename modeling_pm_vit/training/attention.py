"""The implementation of the attention with which a model trains fastest."""

import torch

from ..backbone_pm_vit import is_of_timm, pair
from ..modeling_pm_vit import PMViTForImageClassification

_SHORT = 256  # tokens; the attention of longer sequences takes much memory if all of it is kept


def choose_attention(model: PMViTForImageClassification, image_size: int, device: torch.device, bf16: bool) -> None:
    """
    In bfloat16 on a CPU, compute the attention of short sequences step by step ("eager"): the gradient of PyTorch's
    fused attention is slow there, a step of a small model 1.6 times as long (docs/experiments/training.md).

    Args:
        image_size: side of the images, in pixels.
    """
    height, width = pair(model.config.patch_size)
    short = (image_size // height) * (image_size // width) <= _SHORT
    if bf16 and device.type == "cpu" and short and not is_of_timm(model.config):
        model.set_attn_implementation("eager")
