"""Finishes a batch of decoded images on the model's device: augmentation, normalisation, mixing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...explanation_pm_vit import IGNORE
from ...image_processing_pm_vit import PMViTImageProcessor, patch_sides
from ...weak_loss_pm_vit import POSSIBLE
from .batch_parameters import BatchParameters
from .batched import augment_by_parameters
from .mixing import Plan, carry_out
from .operations import GEOMETRIC
from .parameters import Augmentation
from .single import pixels_in

MAX_UNKNOWN = 0.05  # of a patch whose mask counts as known: more than interpolation brings in from a neighbour


@dataclass
class Recipe:
    """
    What is to be done with the images of a batch.

    Args:
        parameters: of the augmentation. Its `plane_rows` have the images of the masks, and then those of the planes of
            what is unknown. With it come the [`Plan.indices`], and if there are images that have a class, but no mask,
            these as `weak_rows` and their classes as `weak_classes`: their planes come after the masks.
        masks: number of masks.
        plan: how the images are mixed.
        plain: of the augmentation of the weak images, without changes of colour.
    """

    parameters: BatchParameters
    masks: int
    plan: Plan
    plain: BatchParameters | None = None

    def pin_memory(self) -> "Recipe":
        """As of a tensor; a `DataLoader` calls it."""
        self.parameters.pin_memory()
        if self.plain is not None:
            self.plain.pin_memory()
        return self


class DeviceAugmentation:
    """
    Makes the `pixel_values` and `mask_labels` of a batch whose [`Collator`] had examples of `on_device` transforms: the
    batch is as if they had been augmented one by one, to the rounding of the resize. Nothing waits for the device.

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
        images, planes, recipe = (batch.pop(name) for name in ("images", "planes", "recipe"))
        images, given = images.permute(0, 3, 1, 2), recipe.parameters.tensors.on(images.device)
        pixels, planes = augment_by_parameters(images, planes, recipe.parameters, given)
        erased = pixels_in(given["erased"], self.size) if "erased" in given else None
        rows, fractions = given["plane_rows"][: recipe.masks], patch_fractions(planes, self.patch)
        if recipe.masks < len(planes):
            unknown = fractions.new_zeros(len(pixels), *fractions.shape[1:])
            unknown = (
                unknown.index_add_(0, given["plane_rows"][recipe.masks :], fractions[recipe.masks :]) > MAX_UNKNOWN
            )
            fractions = fractions[: recipe.masks].masked_fill(unknown[rows], float(IGNORE))
        if "weak_rows" in given:
            weak = given["weak_rows"]
            taught = fractions.new_full((len(weak), *fractions.shape[1:]), POSSIBLE)
            if erased is not None:
                taught = possible_patches(erased[weak], self.patch)
            if self.teacher is not None:
                taught = self._taught(taught, images[weak], given["weak_classes"], recipe)
            rows, fractions = torch.cat((rows, weak)), torch.cat((fractions, taught))
        batch["pixel_values"], batch["mask_labels"] = carry_out(
            recipe.plan, normalize(pixels, erased, self.processor), fractions, rows, given
        )
        return batch

    def _taught(
        self, possible: torch.Tensor, images: torch.Tensor, classes: torch.Tensor, recipe: Recipe
    ) -> torch.Tensor:
        """The masks that the teacher makes of the images, where they are not erased."""
        assert self.teacher is not None and recipe.plain is not None  # else it is not asked
        pixels, _ = augment_by_parameters(images, images[:0, 0], recipe.plain, recipe.plain.tensors.on(images.device))
        masks = self.teacher(normalize(pixels, None, self.processor), classes)
        return possible if masks is None else torch.where(possible == 0, 0.0, masks)


def without_colours(augmentation: Augmentation) -> Augmentation:
    """What moves the pixels, without what changes or erases them."""
    operations = tuple((name, amount) for name, amount in augmentation.operations if name in GEOMETRIC)
    return replace(augmentation, operations=operations, colours=(1.0, 1.0, 1.0), erased=None)


def normalize(images: torch.Tensor, erased: torch.Tensor | None, processor: PMViTImageProcessor) -> torch.Tensor:
    """From `(n, 3, height, width)`, uint8, to pixel values, which are 0 where `erased` `(n, height, width)`."""
    mean, std = (
        torch.tensor(list(value)).to(images.device, non_blocking=True).reshape(3, 1, 1)
        for value in (processor.image_mean, processor.image_std)
    )
    values = (images.float() / 255 - mean) / std
    return values if erased is None else values.masked_fill_(erased.unsqueeze(1), 0)


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
