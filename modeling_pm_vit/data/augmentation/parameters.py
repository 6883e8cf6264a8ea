"""The random choices of the augmentation of one image, drawn before they are applied on a CPU or an accelerator."""

from dataclasses import dataclass
from math import exp, log

import numpy as np

from ...utils.errors import InputError
from .policies import Operation, auto_augment, check_magnitude, rand_augment

SHAPES = (3 / 4, 4 / 3)  # width / height of a crop (Szegedy et al., *Going deeper with convolutions*, CVPR 2015)
_TRIES = 10
_ERASED_AREA, _ERASED_RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)  # Zhong et al., *Random erasing*, AAAI 2020

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class AugmentationSettings:
    """
    Args:
        min_crop_scale: smallest fraction of the image area that a crop keeps.
        crop_padding: instead, crop the whole size out of the image padded with this many black pixels on each side.
        rand_augment: magnitude of two operations of RandAugment, in 0 ... 30; 0 for none.
        auto_augment: apply AutoAugment's policy for ImageNet.
        colour_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
        random_erasing: probability that a rectangle is erased.

    Raises:
        InputError: if a value is out of its range.
    """

    min_crop_scale: float = 0.35
    crop_padding: int = 0
    rand_augment: int = 0
    auto_augment: bool = False
    colour_jitter: float = 0.3
    random_erasing: float = 0.0

    def __post_init__(self) -> None:
        check_magnitude(self.rand_augment)
        for name, value, low, high in (
            ("min_crop_scale", self.min_crop_scale, 0, 1),
            ("colour_jitter", self.colour_jitter, 0, 1),
            ("random_erasing", self.random_erasing, 0, 1),
            ("crop_padding", self.crop_padding, 0, 10_000),
        ):
            if not low <= value <= high:
                raise InputError(f"--{name} must lie in {low} ... {high}, got {value}.")


@dataclass(frozen=True)
class Augmentation:
    """
    What is done to one image and its masks, in this order.

    Args:
        crop: top, left, height, width in pixels of the image; it may reach beyond the image, which is black there. The
            crop is resized to the input size.
        flip: mirror left and right.
        operations: names and amounts (see `operations.py`).
        colours: factors of brightness, contrast and saturation.
        erased: top, left, bottom, right in pixels of the input, ends exclusive. These pixels get the mean colour, and
            no class is there.
    """

    crop: Box
    flip: bool = False
    operations: tuple[Operation, ...] = ()
    colours: tuple[float, float, float] = (1.0, 1.0, 1.0)
    erased: Box | None = None


def draw(
    settings: AugmentationSettings, image_size: tuple[int, int], size: tuple[int, int], rng: np.random.Generator
) -> Augmentation:
    """
    Args:
        image_size, size: (height, width) of the image and of the model's input.
        rng: the choices depend on its state only.
    """
    padding = settings.crop_padding
    crop = _padded_crop(image_size, padding, rng) if padding else _crop(settings.min_crop_scale, image_size, rng)
    flip = bool(rng.random() < 0.5)
    operations = rand_augment(settings.rand_augment, rng) if settings.rand_augment else []
    if settings.auto_augment:
        operations += auto_augment(rng)
    jitter = settings.colour_jitter
    brightness, contrast, saturation = rng.uniform(1 - jitter, 1 + jitter, 3).tolist()
    erased = _box(size, _ERASED_AREA, _ERASED_RATIO, rng) if rng.random() < settings.random_erasing else None
    return Augmentation(crop, flip, tuple(operations), (brightness, contrast, saturation), erased)


def _padded_crop(image_size: tuple[int, int], padding: int, rng: np.random.Generator) -> Box:
    top, left = rng.integers(-padding, padding + 1, size=2).tolist()
    return top, left, *image_size


def _crop(min_scale: float, image_size: tuple[int, int], rng: np.random.Generator) -> Box:
    height, width = image_size
    found = _box(image_size, (min_scale, 1.0), SHAPES, rng)
    if found is not None:
        top, left, bottom, right = found
        return top, left, bottom - top, right - left
    # A very long image: the largest crop of an allowed shape, from its middle.
    low, high = SHAPES
    crop_height, crop_width = min(height, round(width / low)), min(width, round(height * high))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def _box(
    size: tuple[int, int], area: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> Box | None:
    """A random box of an area (as a fraction) and width / height within limits; `None` if none was found to fit."""
    for _ in range(_TRIES):
        pixels = size[0] * size[1] * rng.uniform(*area)
        shape = exp(rng.uniform(log(ratio[0]), log(ratio[1])))
        height, width = round((pixels / shape) ** 0.5), round((pixels * shape) ** 0.5)
        if 0 < height <= size[0] and 0 < width <= size[1]:
            top, left = int(rng.integers(size[0] - height + 1)), int(rng.integers(size[1] - width + 1))
            return top, left, top + height, left + width
    return None
