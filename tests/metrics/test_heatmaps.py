import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.heatmaps import checked_heatmaps, checked_pair, min_max, resized, resized_bicubic

MAPS = hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-1e6, 1e6, width=32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_map_becomes_0_and_leaves_the_others_alone(value):
    maps = np.arange(12.0).reshape(2, 2, 3)
    broken = maps.copy()
    broken[0, 1, 1] = value
    checked = checked_heatmaps(broken)
    assert checked.dtype == np.float64
    assert not checked[0].any()
    assert np.array_equal(checked[1], maps[1])
    assert not np.isfinite(broken[0, 1, 1])  # the input is left as it was


@pytest.mark.parametrize("shape", [(2, 3), (1, 1, 2, 3)])
def test_maps_of_another_rank_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(n, height, width\)"):
        checked_heatmaps(np.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 2), (2, 2, 1)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(2, 2, 2\)"):
        checked_pair(np.zeros((2, 2, 2)), np.zeros(shape))


@given(MAPS)
def test_stretched_maps_reach_from_0_to_1_and_keep_the_order(maps):
    maps = maps.astype(np.float64)
    stretched = min_max(maps)
    varied = maps.max((1, 2)) > maps.min((1, 2))
    assert (stretched.min((1, 2)) == 0).all()
    assert np.array_equal(stretched.max((1, 2)), varied.astype(float))
    order = maps.reshape(3, -1).argsort(1, kind="stable")
    assert (np.diff(np.take_along_axis(stretched.reshape(3, -1), order, 1), axis=1) >= 0).all()


def test_bilinear_takes_pixels_as_areas():
    larger = resized(np.array([[[0.0, 4.0], [8.0, 12.0]]]), (2, 4))
    assert larger.tolist() == [[[0, 1, 3, 4], [8, 9, 11, 12]]]
    assert resized(larger, (2, 4)).tolist() == larger.tolist()


@pytest.mark.parametrize("size", [(9, 14), (14, 9), (5, 7)])
def test_bicubic_is_that_of_torch(size):
    """OpenCV and torch both interpolate with a = -.75 and repeat the border."""
    maps = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    tensor = torch.as_tensor(maps)[:, None]
    expected = torch.nn.functional.interpolate(tensor, size=size, mode="bicubic", align_corners=False)[:, 0].numpy()
    assert resized_bicubic(maps, size) == pytest.approx(expected, abs=1e-5)
    exact = torch.nn.functional.interpolate(tensor.double(), size=size, mode="bilinear", align_corners=False)[:, 0]
    assert resized(maps, size) == pytest.approx(exact.numpy(), abs=1e-6)


@pytest.mark.parametrize("resize", [resized, resized_bicubic])
@pytest.mark.parametrize(("grid", "size"), [((14, 14), (224, 224)), ((12, 12), (200, 200)), ((37, 20), (518, 301))])
def test_a_constant_map_stays_constant(resize, grid, size):
    """In float32 it gets a spread of one unit in the last place, which stretching enlarges to 0 ... 1."""
    constants = np.random.default_rng(0).random((20, 1, 1), np.float32)
    larger = resize(constants.repeat(grid[0], 1).repeat(grid[1], 2), size)
    assert np.array_equal(larger, np.broadcast_to(constants, larger.shape))
    assert not min_max(larger).any()


@pytest.mark.parametrize("resize", [resized, resized_bicubic])
def test_no_maps_are_resized_to_none(resize):
    assert resize(np.zeros((1, 2, 3)), (4, 6)).shape == (1, 4, 6)
    assert resized_bicubic(np.zeros((0, 2, 3)), (4, 6)).shape == (0, 4, 6)
