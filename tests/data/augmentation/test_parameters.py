import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings, draw
from modeling_pm_vit.data.augmentation.policies import IMAGENET_POLICY, auto_augment, rand_augment

sides = st.integers(1, 700)
settings = st.builds(
    AugmentationSettings,
    min_crop_scale=st.floats(0.01, 1),
    crop_padding=st.sampled_from([0, 4]),
    rand_augment=st.sampled_from([0, 9, 30]),
    auto_augment=st.booleans(),
    colour_jitter=st.floats(0, 1),
    random_erasing=st.floats(0, 1),
)


@given(settings, sides, sides, sides, sides, st.integers(0, 2**32))
def test_what_is_drawn_lies_within_the_settings(settings, height, width, new_height, new_width, seed):
    drawn = draw(settings, (height, width), (new_height, new_width), np.random.default_rng(seed))
    top, left, crop_height, crop_width = drawn.crop
    padding = settings.crop_padding
    assert crop_height > 0
    assert crop_width > 0
    assert -padding <= top <= height + padding - crop_height
    assert -padding <= left <= width + padding - crop_width
    assert len(drawn.operations) <= 2 * bool(settings.rand_augment) + 2 * settings.auto_augment
    assert all(abs(factor - 1) <= settings.colour_jitter + 1e-9 for factor in drawn.colours)
    if drawn.erased is not None:
        y0, x0, y1, x1 = drawn.erased
        assert 0 <= y0 < y1 <= new_height
        assert 0 <= x0 < x1 <= new_width
        assert settings.random_erasing > 0
    assert drawn == draw(settings, (height, width), (new_height, new_width), np.random.default_rng(seed))


def test_crops_have_the_area_and_shape_that_was_asked_for():
    rng = np.random.default_rng(0)
    crops = [draw(AugmentationSettings(min_crop_scale=0.2), (300, 400), (64, 64), rng).crop for _ in range(2000)]
    areas = np.array([h * w for _, _, h, w in crops]) / 120_000
    shapes = np.array([w / h for _, _, h, w in crops])
    assert 0.19 < areas.min() < 0.22
    assert 0.9 < areas.max() <= 1
    assert shapes.min() > 0.74
    assert shapes.max() < 1.35


def test_flips_and_erasing_come_as_often_as_they_should():
    rng = np.random.default_rng(0)
    drawn = [draw(AugmentationSettings(random_erasing=0.25), (64, 64), (64, 64), rng) for _ in range(4000)]
    assert abs(np.mean([d.flip for d in drawn]) - 0.5) < 0.03
    assert abs(np.mean([d.erased is not None for d in drawn]) - 0.25) < 0.03


def test_rand_augment_draws_all_its_operations_with_one_magnitude():
    rng = np.random.default_rng(0)
    drawn = [operation for _ in range(500) for operation in rand_augment(15, rng)]
    assert len({name for name, _ in drawn}) == 14
    assert {abs(amount) for name, amount in drawn if name == "rotate"} == {15.0}
    assert {amount for name, amount in drawn if name == "rotate"} == {-15.0, 15.0}
    assert {amount for name, amount in drawn if name == "posterize"} == {2.0}


def test_auto_augment_has_the_policy_of_torchvision():
    names = {"Posterize": "posterize", "Color": "colour", "AutoContrast": "autocontrast", "ShearX": "shear_x"}
    expected = [
        [(names.get(name, name.lower()), probability, magnitude or 0) for name, probability, magnitude in pair]
        for pair in AutoAugment(AutoAugmentPolicy.IMAGENET)._policies
    ]
    assert [list(pair) for pair in IMAGENET_POLICY] == expected


def test_auto_augment_draws_operations_as_often_and_as_strongly_as_its_policy_says():
    rng = np.random.default_rng(0)
    rotations = [amount for _ in range(20_000) for name, amount in auto_augment(rng) if name == "rotate"]
    assert len(rotations) / 20_000 == pytest.approx((0.6 + 0.8 + 0.2 + 0.8 + 0.4 + 0.8) / 25, abs=0.01)
    assert sorted({abs(amount) for amount in rotations}) == pytest.approx([10, 80 / 3, 30])
    assert np.mean(np.array(rotations) < 0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "wrong", [{"rand_augment": 31}, {"min_crop_scale": -0.1}, {"random_erasing": 1.5}, {"crop_padding": -1}]
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))}"):
        AugmentationSettings(**wrong)
