"""What bfloat16 gains on a machine, without PM-ViT: in a matrix product, and in a plain ViT."""

import copy

import torch
from torch import nn

from modeling_pm_vit.utils.timing import compare, reverse

LEAST_GAIN = 1.5  # of the matrix product; below, a machine has no instructions for bfloat16
_BATCH, _SECONDS = 4, 2.0  # the batch of `pm-vit explain` on a CPU


@torch.inference_mode()
def product_gain(hidden: int, tokens: int) -> dict[str, float]:
    """How many times faster the largest matrix product of a layer is in bfloat16 than in float32, on the CPU."""
    inputs, weights = torch.randn(_BATCH * tokens, hidden), torch.randn(hidden, 4 * hidden)
    small = inputs.bfloat16(), weights.bfloat16()
    return reverse(compare(lambda: small[0] @ small[1], lambda: inputs @ weights, _SECONDS / 4))


@torch.inference_mode()
def model_gain(plain: nn.Module, image_size: tuple[int, int]) -> dict[str, float]:
    """How many times faster a plain ViT in float32 is in bfloat16, on the CPU, in batches of four images."""
    images, small = torch.randn(_BATCH, 3, *image_size), copy.deepcopy(plain).bfloat16()
    inputs = images.bfloat16()
    return reverse(compare(lambda: small(inputs), lambda: plain(images), _SECONDS, least=3))


def share_of(pair: dict[str, float], limit: dict[str, float]) -> dict[str, float]:
    """A ratio over that of what the machine can do; the interval has the uncertainty of both."""
    return {
        "ratio": pair["ratio"] / limit["ratio"],
        "low": pair["low"] / limit["high"],
        "high": pair["high"] / limit["low"],
        "rounds": min(pair["rounds"], limit["rounds"]),
    }
