"""Mosaics: four training images in one, so that a map has to show where each class is, not only where an object is."""

from typing import Any

import torch
from torch import nn

from ..explanation_pm_vit import IGNORE
from ..utils.errors import InputError


def mosaic(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """
    Combines four examples of [`ExampleTransform`], each at half its size.

    Its `labels` are -100, because it shows small parts of several images: it adds to the mask loss only. Each part's
    classes are known to be absent from the other parts.

    Args:
        examples: four examples with masks, in reading order, with `pixel_values` of one size and an even number of
            patches in both directions.

    Raises:
        InputError: if the grid of patches is odd.
        ValueError: if there are not four examples, or one has no mask.
    """
    grid = tuple(examples[0]["mask_labels"].shape[-2:])
    if grid[0] % 2 or grid[1] % 2:
        raise InputError(
            f"--mosaics needs an even number of patches in both directions, got {grid[0]} x {grid[1]}: choose another "
            "--image_size."
        )
    if len(examples) != 4 or not all(len(example["explain_labels"]) for example in examples):
        raise ValueError(f"a mosaic needs four examples with masks, got {len(examples)}.")
    pixels = torch.stack([example["pixel_values"] for example in examples])
    half = (pixels.shape[-2] // 2, pixels.shape[-1] // 2)
    pixels = nn.functional.interpolate(pixels, size=half, mode="bilinear", antialias=True, align_corners=False)

    classes = torch.cat([example["explain_labels"] for example in examples]).unique()
    parts = []
    for example in examples:
        masks = example["mask_labels"].unsqueeze(1)
        unknown = nn.functional.max_pool2d((masks == IGNORE).float(), 2).squeeze(1) > 0
        halved = nn.functional.avg_pool2d(masks, 2).squeeze(1).masked_fill(unknown, float(IGNORE))  # (K, h/2, w/2)
        part = torch.zeros(len(classes), grid[0] // 2, grid[1] // 2)
        for label, plane in zip(example["explain_labels"], halved, strict=True):
            part[classes == label] = plane
        part[:, unknown.all(0)] = IGNORE
        parts.append(part)
    return {
        "pixel_values": _tile(pixels),
        "labels": unknown_labels(examples[0]["labels"]),
        "mask_labels": _tile(torch.stack(parts)),
        "explain_labels": classes,
    }


def unknown_labels(labels: int | torch.Tensor) -> int | torch.Tensor:
    """-100 in the form of an example's labels."""
    return torch.full_like(labels, IGNORE) if isinstance(labels, torch.Tensor) else IGNORE


def _tile(parts: torch.Tensor) -> torch.Tensor:
    """From `(4, channels, height, width)` to one image `(channels, 2 height, 2 width)`."""
    rows = torch.cat((parts[0], parts[1]), -1), torch.cat((parts[2], parts[3]), -1)
    return torch.cat(rows, -2)
