"""The operations of the augmentation policies, and the change of colours, on uint8 images `(..., 3, height, width)`."""

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue, ITU-R BT.601


def transform_geometry(planes: torch.Tensor, name: str, amount: float) -> torch.Tensor:
    """A [`GEOMETRIC`] operation on images or masks `(..., channels, height, width)`; what comes in is 0."""
    height, width = planes.shape[-2:]
    angle, translate, shear = 0.0, [0, 0], [0.0, 0.0]
    if name == "rotate":
        angle = amount
    elif name.startswith("translate"):
        axis = name.endswith("y")
        translate[axis] = round(amount * (height if axis else width))
    else:
        shear[name.endswith("y")] = float(torch.atan(torch.tensor(amount)).rad2deg())
    return F.affine(planes, angle, translate, 1.0, shear, interpolation=InterpolationMode.BILINEAR)


def transform_colours(images: torch.Tensor, name: str, amount: float) -> torch.Tensor:
    """Any other operation, on images `(..., 3, height, width)`."""
    match name:
        case "brightness":
            return F.adjust_brightness(images, 1 + amount)
        case "colour":
            return F.adjust_saturation(images, 1 + amount)
        case "contrast":
            return F.adjust_contrast(images, 1 + amount)
        case "sharpness":
            return F.adjust_sharpness(images, 1 + amount)
        case "posterize":
            return F.posterize(images, 8 - round(amount))
        case "solarize":
            return F.solarize(images, 255 - amount)
        case "autocontrast":
            return F.autocontrast(images)
        case "equalize":
            return F.equalize(images)
        case "invert":
            return F.invert(images)
    return images


def jitter_colours(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """
    Change brightness, then contrast, then saturation, each by a factor.

    Args:
        images: `(n, 3, height, width)`, uint8.
        factors: `(n, 3)`, float32; 1 leaves the images unchanged.
    """
    brightness, contrast, saturation = factors.reshape(-1, 3, 1, 1, 1).unbind(1)
    images = (images * brightness).clamp_(0, 255).floor_()
    images = _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), contrast)
    return _blend(images, _grey(images), saturation).to(torch.uint8)


def _grey(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.unbind(1)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue).floor_().unsqueeze(1)


def _blend(images: torch.Tensor, others: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return torch.lerp(others.expand_as(images), images, share).clamp_(0, 255).floor_()
