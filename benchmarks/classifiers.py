"""The cost of a wrapped or quantized classifier, which is called for all classes, against a plain linear one."""

import copy

import torch
from torch import nn

from modeling_pm_vit.utils.timing import compare

from .machine import describe
from .models import SIZES, random_pm_vit


class Called(nn.Linear):
    """The linear layer itself in a class of its own, as an adapter would be: what is measured is the call alone."""


def measure(quick: bool = False, device: str = "cpu", seconds: float | None = None) -> dict:
    """
    Args:
        seconds: approximate time spent on each pair, by default 6, with `quick` 2; at least five rounds.

    Returns:
        `machine`; `pairs`: for each `size/classes/batch` the time of a forward pass with five classes explained by a
        classifier that is called over that of a plain one, of whose weight only rows are used.
    """
    on = torch.device(device)
    pairs = {}
    for size, batch in (("Ti", 1),) if quick else (("Ti", 1), ("S", 1), ("Ti", 8)):
        for classes in (10, 1000, 21841):
            plain = random_pm_vit(SIZES[size], classes).to(on)
            called = copy.deepcopy(plain)
            called.classifier.__class__ = Called
            images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(on)
            pairs[f"{size}/{classes}/{batch}"] = compare_models(called, plain, images, seconds or (2 if quick else 6))
    return {"machine": describe(on), "pairs": pairs}


@torch.inference_mode()
def compare_models(called: nn.Module, plain: nn.Module, images: torch.Tensor, seconds: float) -> dict[str, float]:
    return compare(
        lambda: called(images, explain_labels=5), lambda: plain(images, explain_labels=5), seconds, images.device
    )
