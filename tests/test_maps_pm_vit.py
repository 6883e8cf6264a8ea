"""Maps of any size, and the boxes and areas of masks."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit import maps_pm_vit as module
from modeling_pm_vit.maps_pm_vit import Placement, check_threshold, enlarged, find_region, largest_box


def whole(size: tuple[int, int]) -> Placement:
    """Of an image that is resized to the input of the model."""
    return Placement(size, (64, 64), (0, 0), (64, 64), (64, 64))


@settings(max_examples=60)
@given(
    maps=hnp.arrays(np.float32, st.tuples(*[st.integers(1, 6)] * 3), elements=st.floats(0, 1, width=32)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    stripe=st.sampled_from([1, 50, 10**6]),
)
def test_maps_are_enlarged_bilinearly_in_stripes_of_any_height(maps, size, stripe):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRIPE", stripe)
        found = enlarged(maps, whole(size))
        regions = [find_region(one, whole(size), 0.5, keep_map=True) for one in maps]
    interpolate = torch.nn.functional.interpolate
    expected = interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=False)[0].numpy()
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1
    for one, region in zip(found, regions, strict=True):
        assert np.array_equal(region.heatmap, one)
        assert np.array_equal(region.mask, one >= 0.5)
        assert region.max_probability == one.max()
        assert region.area == (one >= 0.5).mean()
        assert region.box == largest_box(one >= 0.5)


def boxes_of_largest_parts(mask):
    """By scipy: one box, or several for parts of equal size."""
    ndimage = pytest.importorskip("scipy.ndimage")
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(parts)]
    largest = areas.max(initial=0)
    return [box for box, area in zip(boxes, areas, strict=True) if area == largest] or [None]


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_box_encloses_the_largest_part(mask):
    assert largest_box(mask) in boxes_of_largest_parts(mask)


def comb(side):
    mask = np.zeros((side, side), bool)
    mask[:, ::2] = mask[-1] = True
    return mask


def spiral(side):
    mask, start = np.zeros((side, side), bool), 0
    for ring in range(0, side // 2, 2):
        far = side - 1 - ring
        mask[ring, start : far + 1] = mask[ring : far + 1, far] = mask[far, ring : far + 1] = True
        mask[ring + 2 : far + 1, ring] = True
        mask[ring + 2, ring : ring + 2] = True
        start = ring + 1
    return mask


SHAPES = {
    "full": lambda side: np.ones((side, side), bool),
    "checkerboard": lambda side: np.indices((side, side)).sum(0) % 2 == 0,
    "comb": comb,
    "comb upside down": lambda side: comb(side)[::-1],
    "comb on its side": lambda side: comb(side).T,
    "spiral": spiral,
    "islands": lambda side: np.random.default_rng(0).random((side, side)) < 0.3,
    "labyrinth": lambda side: np.random.default_rng(0).random((side, side)) < 0.41,  # near the percolation threshold
    "row": lambda side: np.ones((1, side * side), bool),
    "column": lambda side: np.ones((side * side, 1), bool),
    "dotted column": lambda side: (np.arange(side * side // 8) % 2 == 0)[:, None],
}


def seconds_of_box(mask):
    """The shortest of three times, of this process alone."""
    times = []
    for _ in range(3):
        start = time.process_time()
        largest_box(mask)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("shape", SHAPES)
def test_box_of_a_large_mask_in_linear_time(shape):
    small, large = SHAPES[shape](128), SHAPES[shape](512)
    assert largest_box(large) in boxes_of_largest_parts(large)
    # 16 times the pixels, and some of the processor's cache; in the square of the pixels it would be 256 times as long.
    assert seconds_of_box(large) < 80 * seconds_of_box(small) + 0.02


def test_box_takes_as_long_along_as_across():
    wide = np.ones((1, 2**18), bool)
    assert seconds_of_box(wide.T) < 10 * seconds_of_box(wide) + 0.02


@pytest.mark.parametrize("threshold", [0, 1, 0.5, np.float32(0.25)])
def test_thresholds(threshold):
    assert check_threshold(threshold) == threshold
