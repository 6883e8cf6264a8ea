"""Applies an augmentation to one image and its masks, on a CPU."""

import torch
from torchvision.transforms.v2 import functional as F  # noqa: N812

from .operations import GEOMETRIC, affine_matrix, jitter_colours, transform_colours, transform_geometry
from .parameters import Augmentation


def augment(
    image: torch.Tensor, planes: torch.Tensor, augmentation: Augmentation, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        image: `(3, height, width)`, uint8.
        planes: `(K, height, width)`, uint8, masks of 0 and 255.
        size: (height, width) of the model's input.

    Returns:
        The image `(3, *size)`, uint8, without the erasing, which comes after the normalisation (see [`erased_pixels`]);
        and the masks `(K, *size)`, uint8. Masks are interpolated, not rounded, so that what they cover stays exact.
    """
    # Image and masks are channels of one tensor: whatever moves one moves all.
    top, left, height, width = augmentation.crop
    stack = F.resized_crop(torch.cat((image, planes)), top, left, height, width, list(size), antialias=True)
    if augmentation.flip:
        stack = F.horizontal_flip(stack)
    for name, amount in augmentation.operations:
        if name in GEOMETRIC:
            stack = transform_geometry(stack.unsqueeze(0), torch.tensor([affine_matrix(name, amount, size)]))[0]
        else:
            changed = transform_colours(stack[:3].unsqueeze(0), name, torch.tensor([amount]))[0]
            stack = torch.cat((changed, stack[3:]))
    image, planes = stack[:3], stack[3:]
    if augmentation.colours != (1, 1, 1):
        image = jitter_colours(image.unsqueeze(0), torch.tensor([augmentation.colours])).squeeze(0)
    if augmentation.erased is not None:
        planes = planes.masked_fill(erased_pixels([augmentation], size), 0)
    return image, planes


def erased_pixels(augmentations: list[Augmentation], size: tuple[int, int]) -> torch.Tensor:
    """Boolean `(n, height, width)`: which pixels are erased."""
    return pixels_in(torch.tensor([a.erased or (0, 0, 0, 0) for a in augmentations]), size)


def pixels_in(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Boolean `(n, height, width)`: which pixels are in the boxes `(n, 4)` of top, left, bottom, right."""
    y = torch.arange(size[0], device=boxes.device).unsqueeze(1)
    x = torch.arange(size[1], device=boxes.device)
    top, left, bottom, right = boxes.reshape(-1, 4, 1, 1).unbind(1)
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)
