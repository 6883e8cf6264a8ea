"""Finishes a batch of decoded images on the model's device: augmentation, normalisation, mixing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...explanation_pm_vit import IGNORE
from ...image_processing_pm_vit import PMViTImageProcessor, patch_sides
from .batched import augment_batch
from .mixing import Plan, carry_out
from .parameters import Augmentation
from .single import erased_pixels

MAX_UNKNOWN = 0.05  # of a patch whose mask counts as known: more than interpolation brings in from a neighbour


@dataclass
class Recipe:
    """
    What is to be done with the images of a batch.

    Args:
        augmentations: of the images.
        plane_rows: for each mask its image; and for the planes after them, of what is unknown, too.
        masks: number of masks.
        plan: how the images are mixed.
    """

    augmentations: list[Augmentation]
    plane_rows: list[int]
    masks: int
    plan: Plan


class DeviceAugmentation:
    """
    Makes the `pixel_values` and `mask_labels` of a batch whose [`Collator`] had examples of `on_device` transforms: the
    batch is as if they had been augmented one by one, to the rounding of the resize.

    Args:
        processor: gives size, patch size and normalisation.
    """

    def __init__(self, processor: PMViTImageProcessor):
        self.processor, self.patch = processor, patch_sides(processor.patch_size)
        self.size = (processor.size.height, processor.size.width)

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        batch = dict(batch)
        images, sizes, planes, recipe = (batch.pop(name) for name in ("images", "sizes", "planes", "recipe"))
        pixels, planes = augment_batch(images, sizes, planes, recipe.plane_rows, recipe.augmentations, self.size)
        erased = erased_pixels(recipe.augmentations, self.size, pixels.device)
        fractions = patch_fractions(planes, self.patch)
        rows = torch.tensor(recipe.plane_rows, dtype=torch.long).to(planes.device, non_blocking=True)
        unknown = fractions.new_zeros(len(pixels), *fractions.shape[1:])
        unknown = unknown.index_add_(0, rows[recipe.masks :], fractions[recipe.masks :]) > MAX_UNKNOWN
        rows, fractions = rows[: recipe.masks], fractions[: recipe.masks]
        fractions = fractions.masked_fill(unknown[rows], float(IGNORE))
        batch["pixel_values"], batch["mask_labels"] = carry_out(
            recipe.plan, normalize(pixels, erased, self.processor), fractions, rows
        )
        return batch


def normalize(images: torch.Tensor, erased: torch.Tensor, processor: PMViTImageProcessor) -> torch.Tensor:
    """From `(n, 3, height, width)`, uint8, to pixel values, which are 0 where `erased` `(n, height, width)`."""
    mean, std = (
        torch.tensor(list(value), device=images.device).reshape(3, 1, 1)
        for value in (processor.image_mean, processor.image_std)
    )
    values = (images.float() / 255 - mean) / std
    return values.masked_fill_(erased.unsqueeze(1), 0) if erased.any() else values


def patch_fractions(planes: torch.Tensor, patch: tuple[int, int]) -> torch.Tensor:
    """From masks `(K, height, width)`, uint8, to the fraction of each patch that they cover, `(K, h, w)`."""
    return nn.functional.avg_pool2d(planes.unsqueeze(1).float() / 255, patch).squeeze(1)
