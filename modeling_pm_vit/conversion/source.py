"""The result of reading a source, and helpers of both readers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..utils.errors import InputError


@dataclass
class Source:
    """A source, described as a plain ViT."""

    config: dict[str, Any]  # arguments of `PMViTConfig`, without classes and image size
    image_size: tuple[int, int]
    state_dict: dict[str, torch.Tensor]  # named as in `ViTModel`, with LayerScale and fused qkv
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # pixel values -> final tokens, logits
    preprocessing: dict[str, Any]
    classifier: nn.Linear | None = None  # on the class token
    no_classifier: str = ""  # why `classifier` is None
    names: list[str] = field(default_factory=list)


def unsupported(what: str, obstacles: list[str]) -> InputError:
    return InputError(
        f"{what} cannot be converted: PM-ViT is a plain ViT (class token, learned positions, pre-norm blocks with "
        f"two-layer MLPs). The source has: {'; '.join(obstacles)}."
    )


def check_keys(missing: set[str], unexpected: set[str]) -> None:
    if missing or unexpected:
        raise InputError(
            f"the weights are not those of a plain ViT: missing {sorted(missing)[:3]}, unexpected "
            f"{sorted(unexpected)[:3]} ({len(missing)} and {len(unexpected)} in total)."
        )


def numbered_labels(count: int) -> list[str]:
    return [f"LABEL_{i}" for i in range(count)]


def as_image_size(size: Sequence[int]) -> int | tuple[int, int]:
    """A size (height, width) in pixels, as one number if it is square."""
    height, width = size
    return height if height == width else (height, width)


def check_image_size(
    requested: int | Sequence[int] | None, own: tuple[int, int], patch: int | tuple[int, int]
) -> tuple[int, int]:
    """The requested height and width, by default those of the source; the patch size has to divide them."""
    height, width = (requested, requested) if isinstance(requested, int) else tuple(requested or own)
    patch_height, patch_width = (patch, patch) if isinstance(patch, int) else patch
    if min(height, width) < 1 or height % patch_height or width % patch_width:
        raise InputError(
            f"the patch size {patch} must divide the image size, got {height} x {width}: give another image_size."
        )
    return height, width
