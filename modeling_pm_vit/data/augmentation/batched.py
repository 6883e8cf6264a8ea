"""Applies augmentations to a batch of images and their masks, on the device that they are on.

The results are those of `single.py`, to the rounding of the resize: two matrix products for each image crop, mirror and
resize it.
"""

from collections.abc import Mapping, Sequence

import torch

from .batch_parameters import BatchParameters, batch_parameters
from .operations import (
    BLENDS,
    STRETCHES,
    blend_colours,
    jitter_colours,
    sampled,
    sampling_grid,
)
from .parameters import Augmentation
from .single import pixels_in


def augment_batch(
    images: torch.Tensor,
    sizes: torch.Tensor,
    planes: torch.Tensor,
    plane_rows: Sequence[int],
    augmentations: Sequence[Augmentation],
    size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        images: `(n, 3, height, width)`, uint8, each in the top left corner if they are of several sizes.
        sizes: `(n, 2)`, height and width of each, on the CPU.
        planes: `(m, height, width)`, uint8, masks of 0 and 255.
        plane_rows: for each mask its image.
        augmentations: of the images.
        size: (height, width) of the model's input.

    Returns:
        The images `(n, 3, *size)` and the masks `(m, *size)`, uint8, as [`augment`] returns them.
    """
    canvas = images.shape[-2], images.shape[-1]
    parameters = batch_parameters(augmentations, sizes.tolist(), plane_rows, canvas, size)
    return augment_by_parameters(images, planes, parameters, parameters.tensors.on(images.device))


def augment_by_parameters(
    images: torch.Tensor, planes: torch.Tensor, parameters: BatchParameters, given: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """As [`augment_batch`]. `given`: the tensors of `parameters` on the device of the images."""
    vertical, horizontal = resampling_weights(given, parameters, (images.shape[-2], images.shape[-1]))
    images = _resampled(images, vertical, horizontal)
    rows = given["plane_rows"]
    if len(rows):
        planes = _resampled(planes.unsqueeze(1), vertical[rows], horizontal[rows]).squeeze(1)
    else:
        planes = planes.new_zeros(0, *parameters.size)
    for step in range(parameters.steps):
        prefix = f"{step}/"
        of_step = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
        _operate(images, planes, of_step)
    if "colours" in given:
        images = jitter_colours(images, given["colours"])
    if len(rows) and "erased" in given:
        planes = planes.masked_fill(pixels_in(given["erased"][rows], parameters.size), 0)
    return images, planes


def _operate(images: torch.Tensor, planes: torch.Tensor, given: Mapping[str, torch.Tensor]) -> None:
    """Each image's operation of a step, in place: one group of calls for each kind of operation."""
    if "moved" in given:
        grid = sampling_grid(given["matrices"], (images.shape[-2], images.shape[-1]))
        rows, places = given["moved"], given["moved_planes"]
        images[rows] = sampled(images[rows], grid[: len(rows)])
        if len(places):
            planes[places] = sampled(planes[places].unsqueeze(1), grid[len(rows) :]).squeeze(1)
    if "mapped" in given:
        part = images[given["mapped"]]
        images[given["mapped"]] = given["tables"].gather(1, part.flatten(1).long()).view_as(part)
    if "factors" in given:
        of_kinds = [given[name] for name in BLENDS]
        rows = torch.cat(of_kinds)
        images[rows] = blend_colours(images[rows], [len(part) for part in of_kinds], given["factors"])
    for name, stretch in STRETCHES.items():
        if name in given:
            images[given[name]] = stretch(images[given[name]])


def _resampled(images: torch.Tensor, vertical: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
    """`(n, channels, height, width)`, uint8, times `(n, new height, height)` and `(n, new width, width)`."""
    count, channels, height, width = images.shape
    levels = images.to(horizontal.dtype, memory_format=torch.contiguous_format)
    wide = levels.reshape(count, channels * height, width) @ horizontal.transpose(1, 2)
    wide = wide.reshape(count, channels, height, -1)
    return (vertical.unsqueeze(1) @ wide).round_().clamp_(0, 255).to(torch.uint8)


def resampling_weights(
    given: Mapping[str, torch.Tensor], parameters: BatchParameters, canvas: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The weights of the pixels of an image in each row, and in each column, of the crop resized to the model's input:
    bilinear with antialiasing, as Pillow and torchvision resize. In half precision on accelerators: the weights are at
    most 1 and pixels are integers up to 255, so the error is below a quarter of a level.

    Args:
        given: the tensors of `parameters`.
        canvas: height and width of the tensor that holds the images.

    Returns:
        `(n, new height, height of the canvas)` and `(n, new width, width of the canvas)`.
    """
    start, length, limit = (given[name][..., None, None] for name in ("start", "length", "limit"))  # (n, 2, 1, 1)
    height, width = parameters.size
    if canvas[0] == canvas[1] and height == width:
        vertical, horizontal = _weights(start, length, limit, canvas[0], height, parameters.reach).unbind(1)
    else:
        vertical = _weights(start[:, 0], length[:, 0], limit[:, 0], canvas[0], height, parameters.reach)
        horizontal = _weights(start[:, 1], length[:, 1], limit[:, 1], canvas[1], width, parameters.reach)
    horizontal = torch.where(given["flip"][:, None, None], horizontal.flip(1), horizontal)
    dtype = torch.float32 if horizontal.device.type == "cpu" else torch.float16
    return vertical.to(dtype), horizontal.to(dtype)


def _weights(
    start: torch.Tensor, length: torch.Tensor, limit: torch.Tensor, count: int, new: int, reach: int
) -> torch.Tensor:
    """
    `(..., new, count)` for crops `[start, start + length)`, of `(..., 1, 1)`, which reach up to `reach` pixels beyond
    the `count` pixels of the canvas, of which `limit` are the image. Pixels beyond are black: they have a weight, no
    value.
    """
    pixel = torch.arange(-reach, count + reach, device=start.device)
    scale = length / new
    centre = start + (torch.arange(new, device=start.device).unsqueeze(1) + 0.5) * scale
    weights = (1 - ((pixel + 0.5 - centre) / scale.clamp(min=1)).abs()).clamp_(min=0)
    weights *= (pixel >= start) & (pixel < start + length)
    weights /= weights.sum(-1, keepdim=True)
    return (weights * (pixel < limit))[..., reach : reach + count]
