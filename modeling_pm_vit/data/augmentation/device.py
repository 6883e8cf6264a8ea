"""Finishes a batch of decoded images on the model's device: augmentation, normalisation, mixing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...explanation_pm_vit import IGNORE
from ...image_processing_pm_vit import PMViTImageProcessor, patch_sides
from ...weak_loss_pm_vit import POSSIBLE
from .batched import augment_batch
from .mixing import Plan, carry_out
from .operations import GEOMETRIC
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
        weak_rows, weak_classes: the images that have a class, but no mask, and these classes. Their planes come after
            the masks.
        plan: how the images are mixed.
    """

    augmentations: list[Augmentation]
    plane_rows: list[int]
    masks: int
    weak_rows: list[int]
    weak_classes: list[int]
    plan: Plan


class DeviceAugmentation:
    """
    Makes the `pixel_values` and `mask_labels` of a batch whose [`Collator`] had examples of `on_device` transforms: the
    batch is as if they had been augmented one by one, to the rounding of the resize.

    Args:
        processor: gives size, patch size and normalisation.

    Attributes:
        teacher: makes the masks of images that have none, of their pixel values without changes of colour and their
            classes (see [`Teacher`]); its result may be `None`. By default their classes are possible everywhere.
    """

    teacher: Callable[[torch.Tensor, torch.Tensor], torch.Tensor | None] | None = None

    def __init__(self, processor: PMViTImageProcessor):
        self.processor, self.patch = processor, patch_sides(processor.patch_size)
        self.size = (processor.size.height, processor.size.width)

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        batch = dict(batch)
        images, sizes, planes, recipe = (batch.pop(name) for name in ("images", "sizes", "planes", "recipe"))
        originals = images
        pixels, planes = augment_batch(images, sizes, planes, recipe.plane_rows, recipe.augmentations, self.size)
        erased = erased_pixels(recipe.augmentations, self.size, pixels.device)
        fractions = patch_fractions(planes, self.patch)
        rows = torch.tensor(recipe.plane_rows, dtype=torch.long).to(planes.device, non_blocking=True)
        unknown = fractions.new_zeros(len(pixels), *fractions.shape[1:])
        unknown = unknown.index_add_(0, rows[recipe.masks :], fractions[recipe.masks :]) > MAX_UNKNOWN
        rows, fractions = rows[: recipe.masks], fractions[: recipe.masks]
        fractions = fractions.masked_fill(unknown[rows], float(IGNORE))
        if recipe.weak_rows:
            weak = torch.tensor(recipe.weak_rows).to(planes.device, non_blocking=True)
            taught = possible_patches(erased[weak], self.patch)
            if self.teacher is not None:
                taught = self._taught(taught, originals[weak], sizes, recipe)
            rows, fractions = torch.cat((rows, weak)), torch.cat((fractions, taught))
        batch["pixel_values"], batch["mask_labels"] = carry_out(
            recipe.plan, normalize(pixels, erased, self.processor), fractions, rows
        )
        return batch

    def _taught(
        self, possible: torch.Tensor, images: torch.Tensor, sizes: torch.Tensor, recipe: Recipe
    ) -> torch.Tensor:
        """The masks that the teacher makes of the images, where they are not erased."""
        assert self.teacher is not None  # else it is not asked
        plain = [without_colours(recipe.augmentations[row]) for row in recipe.weak_rows]
        no_masks = images[:0, 0]
        pixels, _ = augment_batch(images, sizes[recipe.weak_rows], no_masks, [], plain, self.size)
        nothing = torch.zeros(1, 1, 1, dtype=torch.bool, device=pixels.device)
        classes = torch.tensor(recipe.weak_classes).to(pixels.device, non_blocking=True)
        masks = self.teacher(normalize(pixels, nothing, self.processor), classes)
        return possible if masks is None else torch.where(possible == 0, 0.0, masks)


def without_colours(augmentation: Augmentation) -> Augmentation:
    """What moves the pixels, without what changes or erases them."""
    operations = tuple((name, amount) for name, amount in augmentation.operations if name in GEOMETRIC)
    return replace(augmentation, operations=operations, colours=(1.0, 1.0, 1.0), erased=None)


def normalize(images: torch.Tensor, erased: torch.Tensor, processor: PMViTImageProcessor) -> torch.Tensor:
    """From `(n, 3, height, width)`, uint8, to pixel values, which are 0 where `erased` `(n, height, width)`."""
    mean, std = (
        torch.tensor(list(value), device=images.device).reshape(3, 1, 1)
        for value in (processor.image_mean, processor.image_std)
    )
    values = (images.float() / 255 - mean) / std
    return values.masked_fill_(erased.unsqueeze(1), 0) if erased.any() else values


def possible_patches(erased: torch.Tensor, patch: tuple[int, int]) -> torch.Tensor:
    """
    The mask of the class of an image that has no mask, `(n, h, w)`: on each patch it is possible, unless the patch is
    erased. `erased`: `(n, height, width)`, boolean.
    """
    gone = nn.functional.avg_pool2d(erased.unsqueeze(1).float(), patch).squeeze(1) == 1
    return torch.where(gone, 0.0, float(POSSIBLE))


def patch_fractions(planes: torch.Tensor, patch: tuple[int, int]) -> torch.Tensor:
    """From masks `(K, height, width)`, uint8, to the fraction of each patch that they cover, `(K, h, w)`."""
    return nn.functional.avg_pool2d(planes.unsqueeze(1).float() / 255, patch).squeeze(1)
