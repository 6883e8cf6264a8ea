"""What the reader of a source returns, and what both readers need."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class Source:
    """A source in the terms of a plain ViT."""

    config: dict  # arguments of `PMViTConfig`, less classes and image size
    image_size: tuple[int, int]
    state_dict: dict[str, torch.Tensor]  # with the names of `ViTModel`, but LayerScale and fused qkv still apart
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # pixel values -> final tokens, logits
    preprocessing: dict
    classifier: nn.Linear | None = None  # on the class token
    no_classifier: str = ""  # why there is none
    names: list[str] = field(default_factory=list)


def unsupported(what: str, obstacles: list[str]) -> ValueError:
    return ValueError(
        f"{what} cannot become a PM-ViT, which is a plain ViT (class token, learned positions, pre-norm blocks with "
        f"two-layer MLPs). In the way: {'; '.join(obstacles)}."
    )


def check_keys(missing: set[str], unexpected: set[str]) -> None:
    if missing or unexpected:
        raise ValueError(
            f"the weights are not those of a plain ViT: missing {sorted(missing)[:3]}, unexpected "
            f"{sorted(unexpected)[:3]} ({len(missing)} and {len(unexpected)} in all)."
        )


def numbered_labels(count: int) -> list[str]:
    return [f"LABEL_{i}" for i in range(count)]


def as_image_size(size) -> int | tuple[int, int]:
    """A size in pixels as one number if it is square."""
    height, width = size
    return height if height == width else (height, width)


def check_image_size(requested, own: tuple[int, int], patch) -> tuple[int, int]:
    height, width = (requested, requested) if isinstance(requested, int) else tuple(requested or own)
    patch_height, patch_width = (patch, patch) if isinstance(patch, int) else patch
    if min(height, width) < 1 or height % patch_height or width % patch_width:
        raise ValueError(
            f"the patch size {patch} must divide the image size, got {height} x {width}: give another image_size."
        )
    return height, width
