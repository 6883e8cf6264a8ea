"""RandAugment (Cubuk et al., CVPR workshops 2020) for an image and its masks."""

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

from ..utils.errors import InputError

_LEVELS = 30  # the paper's scale of magnitudes
# Largest magnitude of each operation, as in the paper's code; translations as a fraction of the side.
_GEOMETRIC = {"shear_x": 0.3, "shear_y": 0.3, "translate_x": 0.45, "translate_y": 0.45, "rotate": 30.0}
_PHOTOMETRIC = {
    "identity": 0.0,
    "brightness": 0.9,
    "colour": 0.9,
    "contrast": 0.9,
    "sharpness": 0.9,
    "posterize": 4.0,
    "solarize": 255.0,
    "autocontrast": 0.0,
    "equalize": 0.0,
}


class RandAugment:
    """
    Args:
        operations: number of operations that are applied one after the other.
        magnitude: of each, in 0 ... 30; its sign is random.
    """

    def __init__(self, operations: int = 2, magnitude: int = 9):
        if operations < 0 or not 0 <= magnitude <= _LEVELS:
            raise InputError(f"--rand_augment: the magnitude must lie in 0 ... {_LEVELS}, got {magnitude}.")
        self.operations, self.strength = operations, magnitude / _LEVELS

    def __call__(self, stack: torch.Tensor) -> torch.Tensor:
        """`(3 + K, height, width)`, uint8: an image, and masks, which only geometric operations change."""
        for _ in range(self.operations):
            names = [*_GEOMETRIC, *_PHOTOMETRIC]
            name = names[torch.randint(len(names), ())]
            sign = 1 if torch.rand(()) < 0.5 else -1
            if name in _GEOMETRIC:
                stack = _transform_geometry(stack, name, sign * self.strength * _GEOMETRIC[name])
            else:
                image = _transform_colours(stack[:3], name, sign, self.strength * _PHOTOMETRIC[name])
                stack = torch.cat((image, stack[3:]))
        return stack


def _transform_geometry(stack: torch.Tensor, name: str, amount: float) -> torch.Tensor:
    height, width = stack.shape[-2:]
    angle, translate, shear = 0.0, [0, 0], [0.0, 0.0]
    if name == "rotate":
        angle = amount
    elif name.startswith("translate"):
        axis = name.endswith("y")
        translate[axis] = round(amount * (height if axis else width))
    else:
        shear[name.endswith("y")] = float(torch.atan(torch.tensor(amount)).rad2deg())
    return F.affine(stack, angle, translate, 1.0, shear, interpolation=InterpolationMode.BILINEAR)


def _transform_colours(image: torch.Tensor, name: str, sign: int, amount: float) -> torch.Tensor:
    match name:
        case "brightness":
            return F.adjust_brightness(image, 1 + sign * amount)
        case "colour":
            return F.adjust_saturation(image, 1 + sign * amount)
        case "contrast":
            return F.adjust_contrast(image, 1 + sign * amount)
        case "sharpness":
            return F.adjust_sharpness(image, 1 + sign * amount)
        case "posterize":
            return F.posterize(image, 8 - round(amount))
        case "solarize":
            return F.solarize(image, 255 - amount)
        case "autocontrast":
            return F.autocontrast(image)
        case "equalize":
            return F.equalize(image)
    return image
