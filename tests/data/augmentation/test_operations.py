"""Against torchvision's operations on single images."""

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

from modeling_pm_vit.data.augmentation.operations import affine_matrix, transform_colours, transform_geometry

SIZE = (24, 37)


def images(count: int = 3) -> torch.Tensor:
    coarse = torch.rand(count, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic", align_corners=False)
    return (smooth.clamp(0, 1) * 255).to(torch.uint8)


def expected_geometry(image: torch.Tensor, name: str, amount: float) -> torch.Tensor:
    angle, translate, shear = 0.0, [0, 0], [0.0, 0.0]
    axis = int(name.endswith("y"))
    if name == "rotate":
        angle = amount
    elif name.startswith("translate"):
        translate[axis] = round(amount * SIZE[1 - axis])
    else:
        shear[axis] = float(torch.atan(torch.tensor(amount)).rad2deg())
    return F.affine(image, angle, translate, 1.0, shear, interpolation=InterpolationMode.BILINEAR)


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_geometry_of_each_image_is_that_of_torchvision(name):
    amounts = [-20.0, 7.0, 30.0] if name == "rotate" else [-0.3, 0.1, 0.3]
    matrices = torch.tensor([affine_matrix(name, amount, SIZE) for amount in amounts])
    for image, found, amount in zip(images(), transform_geometry(images(), matrices), amounts, strict=True):
        assert (found.int() - expected_geometry(image, name, amount).int()).abs().max() <= 1


COLOURS = {
    "brightness": (F.adjust_brightness, [-0.6, 0.2, 0.9], lambda a: 1 + a),
    "colour": (F.adjust_saturation, [-0.6, 0.2, 0.9], lambda a: 1 + a),
    "contrast": (F.adjust_contrast, [-0.6, 0.2, 0.9], lambda a: 1 + a),
    "sharpness": (F.adjust_sharpness, [-0.6, 0.2, 0.9], lambda a: 1 + a),
    "posterize": (F.posterize, [0.0, 1.7, 4.0], lambda a: 8 - round(a)),
    "solarize": (F.solarize, [0.0, 100.0, 255.0], lambda a: 255 - a),
    "autocontrast": (lambda image, _: F.autocontrast(image), [0.0] * 3, float),
    "equalize": (lambda image, _: F.equalize(image), [0.0] * 3, float),
    "invert": (lambda image, _: F.invert(image), [0.0] * 3, float),
    "identity": (lambda image, _: image, [0.0] * 3, float),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_of_each_image_are_those_of_torchvision(name):
    operation, amounts, argument = COLOURS[name]
    for image, found, amount in zip(
        images(), transform_colours(images(), name, torch.tensor(amounts)), amounts, strict=True
    ):
        assert found.dtype == torch.uint8
        assert (found.int() - operation(image, argument(amount)).int()).abs().max() <= 1
