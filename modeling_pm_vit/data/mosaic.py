"""Mosaics: four training images in one, so that a map has to say which class is where, not only where something is."""

import torch
from torch import nn

from ..image_processing_pm_vit import IGNORE


def mosaic(examples: list[dict]) -> dict:
    """
    Four examples (see [`ExampleTransform`]), each at half its size, as one.

    Its `labels` is -100, as it shows several classes: it counts for the mask loss only. A class is known to be absent
    from the parts of the others.

    Args:
        examples: four that have masks, in reading order, with `pixel_values` of one size and an even number of patches
            on both sides.

    Raises:
        ValueError: if they are not four, one has no mask, or the grid of patches is odd.
    """
    grid = tuple(examples[0]["mask_labels"].shape[-2:])
    if len(examples) != 4 or grid[0] % 2 or grid[1] % 2:
        raise ValueError(f"a mosaic takes 4 examples with an even grid of patches, got {len(examples)} of {grid}.")
    if not all(len(example["explain_labels"]) for example in examples):
        raise ValueError("each part of a mosaic needs a mask.")
    pixels = torch.stack([example["pixel_values"] for example in examples])
    half = (pixels.shape[-2] // 2, pixels.shape[-1] // 2)
    pixels = nn.functional.interpolate(pixels, size=half, mode="bilinear", antialias=True, align_corners=False)

    classes = torch.cat([example["explain_labels"] for example in examples]).unique()
    parts = []
    for example in examples:
        masks = example["mask_labels"].unsqueeze(1)
        unknown = nn.functional.max_pool2d((masks == IGNORE).float(), 2).squeeze(1) > 0
        own = nn.functional.avg_pool2d(masks, 2).squeeze(1).masked_fill(unknown, float(IGNORE))  # (K, h / 2, w / 2)
        part = torch.zeros(len(classes), grid[0] // 2, grid[1] // 2)
        for label, plane in zip(example["explain_labels"], own, strict=True):
            part[classes == label] = plane
        part[:, unknown.any(0)] = IGNORE
        parts.append(part)
    return {
        "pixel_values": _tiled(pixels),
        "labels": IGNORE,
        "mask_labels": _tiled(torch.stack(parts)),
        "explain_labels": classes,
    }


def _tiled(parts: torch.Tensor) -> torch.Tensor:
    """`(4, channels, height, width)` as one image `(channels, 2 height, 2 width)`."""
    rows = torch.cat((parts[0], parts[1]), -1), torch.cat((parts[2], parts[3]), -1)
    return torch.cat(rows, -2)
