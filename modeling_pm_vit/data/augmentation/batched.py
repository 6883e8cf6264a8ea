"""Applies augmentations to a batch of images and their masks, on the device that they are on.

The results are those of `single.py`, to the rounding of the resize: two matrix products for each image crop, mirror and
resize it.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch

from .operations import GEOMETRIC, affine_matrix, jitter_colours, transform_colours, transform_geometry
from .parameters import Augmentation
from .single import erased_pixels


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
        sizes: `(n, 2)`, height and width of each.
        planes: `(m, height, width)`, uint8, masks of 0 and 255.
        plane_rows: for each mask its image.
        augmentations: of the images.
        size: (height, width) of the model's input.

    Returns:
        The images `(n, 3, *size)` and the masks `(m, *size)`, uint8, as [`augment`] returns them.
    """
    rows = torch.tensor(list(plane_rows), dtype=torch.long)
    canvas = images.shape[-2], images.shape[-1]
    vertical, horizontal = resampling_weights(augmentations, sizes, canvas, size, images.device)
    images = _resampled(images, vertical, horizontal)
    if len(rows):
        index = rows.to(planes.device, non_blocking=True)
        planes = _resampled(planes.unsqueeze(1), vertical[index], horizontal[index]).squeeze(1)
    else:
        planes = planes.new_zeros(0, *size)
    for step in range(max((len(a.operations) for a in augmentations), default=0)):
        _operate(images, planes, plane_rows, augmentations, step, size)
    if any(a.colours != (1, 1, 1) for a in augmentations):
        factors = torch.tensor([a.colours for a in augmentations]).to(images.device, non_blocking=True)
        images = jitter_colours(images, factors)
    if len(rows) and any(augmentations[row].erased for row in plane_rows):
        planes = planes.masked_fill(erased_pixels([augmentations[row] for row in plane_rows], size, planes.device), 0)
    return images, planes


def _operate(
    images: torch.Tensor,
    planes: torch.Tensor,
    plane_rows: Sequence[int],
    augmentations: Sequence[Augmentation],
    step: int,
    size: tuple[int, int],
) -> None:
    """Each image's operation of a step, in place, with few calls: one for each kind of operation."""
    groups: dict[str, dict[int, float]] = defaultdict(dict)
    matrices: dict[int, list[float]] = {}
    for row, augmentation in enumerate(augmentations):
        name, amount = augmentation.operations[step] if step < len(augmentation.operations) else ("identity", 0.0)
        if name in GEOMETRIC:
            matrices[row] = affine_matrix(name, amount, size)
        elif name != "identity":
            groups[name][row] = amount
    for name, amounts in groups.items():
        rows = torch.tensor(list(amounts)).to(images.device, non_blocking=True)
        amount_of = torch.tensor(list(amounts.values())).to(images.device, non_blocking=True)
        images[rows] = transform_colours(images[rows], name, amount_of)
    places = [place for place, row in enumerate(plane_rows) if row in matrices]
    for batch, members, of in (
        (images, list(matrices), list(matrices.values())),
        (planes.unsqueeze(1), places, [matrices[plane_rows[place]] for place in places]),
    ):
        if members:
            rows = torch.tensor(members).to(batch.device, non_blocking=True)
            batch[rows] = transform_geometry(batch[rows], torch.tensor(of).to(batch.device, non_blocking=True))


def _resampled(images: torch.Tensor, vertical: torch.Tensor, horizontal: torch.Tensor) -> torch.Tensor:
    """`(n, channels, height, width)`, uint8, times `(n, new height, height)` and `(n, new width, width)`."""
    count, channels, height, width = images.shape
    wide = images.to(horizontal.dtype).reshape(count, channels * height, width) @ horizontal.transpose(1, 2)
    wide = wide.reshape(count, channels, height, -1)
    return (vertical.unsqueeze(1) @ wide).round_().clamp_(0, 255).to(torch.uint8)


def resampling_weights(
    augmentations: Sequence[Augmentation],
    sizes: torch.Tensor,
    canvas: tuple[int, int],
    size: tuple[int, int],
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The weights of the pixels of an image in each row, and in each column, of the crop resized to `size`: bilinear with
    antialiasing, as Pillow and torchvision resize. In half precision on accelerators: the weights are at most 1 and
    pixels are integers up to 255, so the error is below a quarter of a level.

    Returns:
        `(n, new height, height of the canvas)` and `(n, new width, width of the canvas)`.
    """
    crops = torch.tensor([a.crop for a in augmentations])
    reach = int(torch.cat((-crops[:, :2], crops[:, :2] + crops[:, 2:] - torch.tensor(canvas))).max().clamp(min=0))
    flips = torch.tensor([a.flip for a in augmentations]).to(device, non_blocking=True)
    top, left, height, width = crops.float().to(device, non_blocking=True)[..., None, None].unbind(1)
    rows, columns = sizes.to(device, non_blocking=True)[..., None, None].unbind(1)
    vertical = _weights(top, height, rows, canvas[0], size[0], reach)
    horizontal = _weights(left, width, columns, canvas[1], size[1], reach)
    horizontal = torch.where(flips[:, None, None], horizontal.flip(1), horizontal)
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    return vertical.to(dtype), horizontal.to(dtype)


def _weights(
    start: torch.Tensor, length: torch.Tensor, limit: torch.Tensor, count: int, new: int, reach: int
) -> torch.Tensor:
    """
    `(n, new, count)` for crops `[start, start + length)`, of `(n, 1, 1)`, which reach up to `reach` pixels beyond the
    `count` pixels of the canvas, of which `limit` are the image. Pixels beyond are black: they have a weight, no value.
    """
    pixel = torch.arange(-reach, count + reach, device=start.device)
    scale = length / new
    centre = start + (torch.arange(new, device=start.device).unsqueeze(1) + 0.5) * scale
    weights = (1 - ((pixel + 0.5 - centre) / scale.clamp(min=1)).abs()).clamp_(min=0)
    weights *= (pixel >= start) & (pixel < start + length)
    weights /= weights.sum(-1, keepdim=True)
    return (weights * (pixel < limit))[..., reach : reach + count]
