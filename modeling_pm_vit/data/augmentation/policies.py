"""Which operations RandAugment and AutoAugment apply to an image, and how strongly."""

import numpy as np

from ...utils.errors import InputError

LEVELS = 30  # RandAugment's scale of magnitudes
_STEPS = 9  # AutoAugment's scale of magnitudes

# The largest amount of each operation, and whether its sign is random (Cubuk et al., *AutoAugment*, CVPR 2019, table
# 6).
# Shears are tangents, translations are fractions of the side, rotations are degrees. Brightness, colour, contrast and
# sharpness change by this factor; posterize removes bits; solarize lowers its threshold of 255.
_OPERATIONS = {
    "shear_x": (0.3, True),
    "shear_y": (0.3, True),
    "translate_x": (0.45, True),
    "translate_y": (0.45, True),
    "rotate": (30.0, True),
    "brightness": (0.9, True),
    "colour": (0.9, True),
    "contrast": (0.9, True),
    "sharpness": (0.9, True),
    "posterize": (4.0, False),
    "solarize": (255.0, False),
    "autocontrast": (0.0, False),
    "equalize": (0.0, False),
    "invert": (0.0, False),
}
_RAND_AUGMENT = ("identity", *(name for name in _OPERATIONS if name != "invert"))
# AutoAugment's policy for ImageNet (the same paper, table 9): 25 pairs of an operation, its probability and its
# magnitude; below in tenths and ninths.
IMAGENET_POLICY = [
    [
        (name, int(tenths) / 10, int(magnitude))
        for name, tenths, magnitude in zip(*[iter(line.split())] * 3, strict=True)
    ]
    for line in """
    posterize 4 8 rotate 6 9
    solarize 6 5 autocontrast 6 0
    equalize 8 0 equalize 6 0
    posterize 6 7 posterize 6 6
    equalize 4 0 solarize 2 4
    equalize 4 0 rotate 8 8
    solarize 6 3 equalize 6 0
    posterize 8 5 equalize 10 0
    rotate 2 3 solarize 6 8
    equalize 6 0 posterize 4 6
    rotate 8 8 colour 4 0
    rotate 4 9 equalize 6 0
    equalize 0 0 equalize 8 0
    invert 6 0 equalize 10 0
    colour 6 4 contrast 10 8
    rotate 8 8 colour 10 2
    colour 8 8 solarize 8 7
    sharpness 4 7 invert 6 0
    shear_x 6 5 equalize 10 0
    colour 4 0 equalize 6 0
    equalize 4 0 solarize 2 4
    solarize 6 5 autocontrast 6 0
    invert 6 0 equalize 10 0
    colour 6 4 contrast 10 8
    equalize 8 0 equalize 6 0
    """.strip().splitlines()
]

Operation = tuple[str, float]


def check_magnitude(magnitude: int) -> None:
    if not 0 <= magnitude <= LEVELS:
        raise InputError(f"--rand_augment: the magnitude must lie in 0 ... {LEVELS}, got {magnitude}.")


def rand_augment(magnitude: int, rng: np.random.Generator, count: int = 2) -> list[Operation]:
    """RandAugment (Cubuk et al., CVPR workshops 2020): `count` operations, each of the same magnitude in 0 ... 30."""
    names = rng.integers(len(_RAND_AUGMENT), size=count)
    return [_operation(_RAND_AUGMENT[name], magnitude / LEVELS, rng) for name in names]


def auto_augment(rng: np.random.Generator) -> list[Operation]:
    """AutoAugment (Cubuk et al., CVPR 2019) with the policy for ImageNet: at most two operations."""
    pair = IMAGENET_POLICY[rng.integers(len(IMAGENET_POLICY))]
    return [_operation(name, m / _STEPS, rng) for name, probability, m in pair if rng.random() < probability]


def _operation(name: str, strength: float, rng: np.random.Generator) -> Operation:
    largest, signed = _OPERATIONS.get(name, (0.0, False))
    return name, strength * largest * (-1 if signed and rng.random() < 0.5 else 1)
