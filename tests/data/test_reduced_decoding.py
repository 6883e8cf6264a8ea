import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit.data.augmentation.parameters import Augmentation, AugmentationSettings, draw
from modeling_pm_vit.data.reduced_decoding import (
    decode_reduced,
    reduce_planes,
    scale_for_any_crop,
    scale_for_crop,
    scaled,
)
from modeling_pm_vit.data.transforms import ExampleTransform

SIZE, PHOTOGRAPH = (32, 32), (330, 427)  # neither side is a multiple of 8
SETTINGS = AugmentationSettings(min_crop_scale=0.6)


def photograph(form: str = "jpeg", **settings) -> bytes:
    """Smooth and fine structures; the red square is where the mask is."""
    rng, out = np.random.default_rng(0), io.BytesIO()
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
    image = np.asarray(coarse.resize(PHOTOGRAPH[::-1], Image.Resampling.BICUBIC)).copy()
    image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    image[90:250, 120:300] = (255, 0, 0)
    Image.fromarray(image).save(out, form, **({"quality": 92} if form == "jpeg" else {}), **settings)
    return out.getvalue()


def mask() -> np.ndarray:
    plane = np.zeros(PHOTOGRAPH, np.uint8)
    plane[90:250, 120:300] = 1
    return plane


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_a_reduced_crop_has_at_least_the_pixels_of_the_input(crop, size):
    scale = scale_for_crop(crop, size)
    assert scale == 1 or all(side / scale >= new for side, new in zip(crop, size, strict=True))
    assert scale == 8 or any(side / (2 * scale) < new for side, new in zip(crop, size, strict=True))


@given(st.tuples(st.integers(8, 2000), st.integers(8, 2000)), st.floats(0, 1), st.integers(0, 20), st.integers(0, 99))
def test_the_scale_for_any_crop_serves_every_one(image_size, least, padding, seed):
    settings = AugmentationSettings(min_crop_scale=least, crop_padding=padding)
    drawn = draw(settings, image_size, SIZE, np.random.default_rng(seed))
    scale = scale_for_any_crop(image_size, SIZE, settings)
    reduced = scaled(drawn, scale)
    assert all(side >= new - 1 for side, new in zip(reduced.crop[2:], SIZE, strict=True)) or scale == 1
    if not padding:
        ends = (reduced.crop[0] + reduced.crop[2], reduced.crop[1] + reduced.crop[3])
        assert min(reduced.crop[:2]) >= 0
        assert all(end <= -(-side // scale) for end, side in zip(ends, image_size, strict=True))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_crop_keeps_its_place(scale):
    reduced = scaled(Augmentation((83, 120, 160, 181), flip=True), scale)
    assert reduced.flip
    for found, expected in zip(reduced.crop, (83, 120, 160, 181), strict=True):
        assert abs(found * scale - expected) <= scale


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_only_upright_jpegs_are_reduced_and_their_masks_cover_the_same(scale):
    image, size, found = decode_reduced({"bytes": photograph(), "path": None}, lambda _: scale)
    assert (size, found) == (PHOTOGRAPH, scale)
    assert (image.height, image.width) == tuple(-(-side // scale) for side in PHOTOGRAPH)
    planes = reduce_planes(mask()[None], scale)
    assert planes.shape[1:] == (image.height, image.width)
    red = np.asarray(image)[..., 0].astype(int) - np.asarray(image)[..., 1]
    assert np.abs(red.clip(0, 255)[planes[0] == 255] - 255).mean() < 5
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated
    for other in (photograph("png"), photograph(exif=exif)):
        assert decode_reduced(other, lambda _: scale)[2] == 1


def test_examples_of_reduced_rows_are_those_of_full_ones(monkeypatch):
    """Mean differences of pixels (levels of 255) and of the fractions of the patches."""
    processor = PMViTImageProcessor(
        size={"height": 32, "width": 32}, patch_size=8, image_mean=[0] * 3, image_std=[1] * 3
    )
    transform = ExampleTransform(processor, augmentation=SETTINGS)
    row = {"image": photograph(), "label": 0, "mask": mask()}
    pixels, fractions = [], []
    for number in range(12):
        seed = (0, 1, number)
        reduced = transform.decode(row, seed)
        assert reduced.scale >= 4
        with monkeypatch.context() as patch:
            patch.setattr(ExampleTransform, "_scale", lambda *_: 1)
            full = transform.decode(row, seed)
        assert full.image.shape[:2] == full.size == reduced.size == PHOTOGRAPH
        found, expected = (transform.transform(one, np.random.default_rng(seed)) for one in (reduced, full))
        pixels.append(255 * (found["pixel_values"] - expected["pixel_values"]).abs().mean())
        fractions.append((found["mask_labels"] - expected["mask_labels"]).abs().mean())
    assert torch.stack(pixels).mean() < 6  # crops begin at whole pixels of the reduced image
    assert torch.stack(fractions).mean() < 0.03
    assert transform.decode(row).scale == scale_for_any_crop(PHOTOGRAPH, SIZE, SETTINGS) > 1
    assert ExampleTransform(processor).decode(row).scale == 1
