"""The operations of the augmentation policies, and the change of colours, on batches with an amount for each image."""

from collections.abc import Callable, Sequence
from math import cos, radians, sin

import torch
from torch import nn
from torchvision.transforms.v2 import functional as F  # noqa: N812

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
TABLES = ("brightness", "posterize", "solarize", "invert")  # map each level to another, the same in all pixels
BLENDS = ("colour", "contrast", "sharpness")  # weighted means of an image and a changed one
STRETCHES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"autocontrast": F.autocontrast, "equalize": F.equalize}
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue, ITU-R BT.601


def affine_matrix(name: str, amount: float, size: tuple[int, int]) -> list[float]:
    """
    A [`GEOMETRIC`] operation as the rows of a matrix `(2, 3)`: from a pixel of the result to that of the image, x and y
    in pixels from the middle. `size`: (height, width).
    """
    match name:
        case "shear_x":
            return [1, amount, 0, 0, 1, 0]
        case "shear_y":
            return [1, 0, 0, amount, 1, 0]
        case "translate_x":
            return [1, 0, -round(amount * size[1]), 0, 1, 0]
        case "translate_y":
            return [1, 0, 0, 0, 1, -round(amount * size[0])]
    angle = radians(amount)
    return [cos(angle), sin(angle), 0, -sin(angle), cos(angle), 0]


def transform_geometry(planes: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """
    Bilinear; what comes in is 0.

    Args:
        planes: images or masks `(n, channels, height, width)`, uint8.
        matrices: `(n, 6)`, of [`affine_matrix`].
    """
    return sampled(planes, sampling_grid(matrices, (planes.shape[-2], planes.shape[-1])))


def sampling_grid(matrices: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Where each pixel `(n, height, width, 2)` of the result is in the image, as `grid_sample` takes it."""
    height, width = size
    x = torch.arange(width, device=matrices.device) - (width - 1) / 2
    y = (torch.arange(height, device=matrices.device) - (height - 1) / 2).unsqueeze(1)
    a, b, c, d, e, f = matrices.reshape(-1, 6, 1, 1).unbind(1)
    return torch.stack(((a * x + b * y + c) / (width / 2), (d * x + e * y + f) / (height / 2)), -1)


def sampled(planes: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Images or masks `(n, channels, height, width)`, uint8, at the places of [`sampling_grid`]."""
    moved = nn.functional.grid_sample(planes.float(), grid, "bilinear", "zeros", align_corners=False)
    return moved.round_().to(torch.uint8)


def blend_colours(images: torch.Tensor, counts: Sequence[int], factors: torch.Tensor) -> torch.Tensor:
    """
    The operations [`BLENDS`], of several images at once.

    Args:
        images: `(n, 3, height, width)`, uint8; those whose colour is changed, then contrast, then sharpness.
        counts: how many these are.
        factors: `(n,)`, float32; 1 leaves an image unchanged, 0 replaces it by a grey, an even, or a blurred one.
    """
    values, (colour, contrast, sharpness) = images.float(), counts
    others = []
    if colour or contrast:
        grey = _grey(values[: colour + contrast])
        others += [grey[:colour].expand(-1, 3, -1, -1)]
        others += [grey[colour:].mean((1, 2, 3), keepdim=True).expand(-1, *images.shape[1:])]
    if sharpness:
        others += [_blurred(values[colour + contrast :])]
    return _blend(values, torch.cat(others), factors.reshape(-1, 1, 1, 1)).to(torch.uint8)


def transform_colours(images: torch.Tensor, name: str, amounts: torch.Tensor) -> torch.Tensor:
    """
    Any other operation.

    Args:
        images: `(n, 3, height, width)`, uint8.
        amounts: `(n,)`, float32.
    """
    if name in BLENDS:
        return blend_colours(images, [len(images) * (name == kind) for kind in BLENDS], 1 + amounts)
    if name in STRETCHES:
        return STRETCHES[name](images)
    amounts = amounts.reshape(-1, 1, 1, 1)
    match name:
        case "brightness":
            return (images * (1 + amounts)).clamp_(0, 255).to(torch.uint8)
        case "posterize":
            return images & (256 - 2 ** amounts.round()).to(torch.uint8)
        case "solarize":
            return torch.where(images >= 255 - amounts, 255 - images, images)
        case "invert":
            return 255 - images
    return images


def jitter_colours(images: torch.Tensor, factors: torch.Tensor | Sequence[Sequence[float]]) -> torch.Tensor:
    """
    Change brightness, then contrast, then saturation, each by a factor.

    Args:
        images: `(n, 3, height, width)`, uint8.
        factors: `(n, 3)`, float32; 1 leaves the images unchanged.
    """
    factors = torch.as_tensor(factors, device=images.device)
    brightness, contrast, saturation = factors.reshape(-1, 3, 1, 1, 1).unbind(1)
    changed = (images * brightness).clamp_(0, 255).floor_()
    changed = _blend(changed, _grey(changed).mean((1, 2, 3), keepdim=True), contrast)
    return _blend(changed, _grey(changed), saturation).to(torch.uint8)


def _grey(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue).floor_().unsqueeze(1)


def _blurred(images: torch.Tensor) -> torch.Tensor:
    """Pillow's smoothing filter; the border stays."""
    kernel = images.new_ones(3, 3)
    kernel[1, 1] = 5
    kernel = (kernel / 13).expand(3, 1, 3, 3)
    blurred = images.clone()
    if min(images.shape[-2:]) > 2:
        blurred[..., 1:-1, 1:-1] = nn.functional.conv2d(images, kernel, groups=3).round_()
    return blurred


def _blend(images: torch.Tensor, others: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return torch.lerp(others.expand_as(images), images, share).clamp_(0, 255).floor_()
