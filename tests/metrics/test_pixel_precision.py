"""PxAP: small cases by hand, and a slow version written from the definition."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.pixel_precision import PIXEL_PRECISION

THRESHOLDS = np.arange(0, 1, 0.001)
MAPS = hnp.arrays(np.int16, (3, 5, 6), elements=st.integers(-9, 9))


def random_maps(rng, n, height, width, smooth) -> np.ndarray:
    maps = rng.random((n, height, width))
    if smooth:
        maps = np.stack([cv2.GaussianBlur(m, (0, 0), 1.5) for m in maps])
    return maps


def pxap(heatmaps, masks, ignore=None) -> float:
    return PIXEL_PRECISION.compute(heatmaps=np.array(heatmaps), masks=np.array(masks), ignore=ignore)["pxap"]


def test_pxap_by_hand():
    # Precision and recall at or above 1, .5 and 0: 1 and 1/3, 1/2 and 1/3, 3/4 and 1.
    assert pxap([[[2, 1], [0, 0]]], [[[1, 0], [1, 1]]]) == pytest.approx(1 / 3 + 3 / 4 * 2 / 3, abs=1e-12)
    assert pxap([[[3, 3], [0, 0]]], [[[1, 1], [0, 0]]]) == 1
    assert pxap([[[0, 0], [3, 3]]], [[[1, 1], [0, 0]]]) == 0.5


@pytest.mark.parametrize("value", [0.0, 2.0, np.nan])
def test_a_map_without_order_has_the_masks_share(value):
    assert pxap(np.full((1, 2, 2), value), [[[1, 0], [0, 0]]]) == 0.25


def test_values_of_one_step_are_one_threshold():
    heatmap = np.array([[[1, 0, 0.5002, 0.5001]]])
    assert pxap(heatmap, [[[0, 0, 1, 0]]]) == pxap(heatmap, [[[0, 0, 0, 1]]]) == pytest.approx(1 / 3)
    apart = np.array([[[1, 0, 0.5002, 0.4999]]])
    assert pxap(apart, [[[0, 0, 1, 0]]]) == pytest.approx(1 / 2)


def test_pixels_of_the_whole_set_make_one_curve():
    maps, masks = [[[1, 0.5, 0]], [[1, 0.5, 0]]], [[[1, 0, 0]], [[0, 1, 0]]]
    # At or above 1: one of two; at or above .5: two of four.
    assert pxap(maps, masks) == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 1 / 2)
    assert pxap(maps[:1], masks[:1]) == 1


def test_ignored_pixels_are_left_out_and_masks_may_be_empty():
    heatmaps, masks = np.array([[[3, 2, 0]]]), np.array([[[0, 1, 0]]])
    assert pxap(heatmaps, masks) == 0.5
    assert pxap(heatmaps, masks, np.array([[[1, 0, 0]]])) == 1
    assert np.isnan(pxap(heatmaps, masks, np.array([[[0, 1, 0]]])))
    assert np.isnan(pxap(heatmaps, np.zeros((1, 1, 3))))
    # An image without a mask adds false positives.
    assert pxap([[[3, 2, 0]]] * 2, [[[1, 0, 0]], [[0, 0, 0]]]) == 0.5


def literal_pxap(heatmaps, masks, ignore) -> float:
    """Precision and recall at each threshold from 1 down to 0, over all pixels that are not ignored."""
    values, truth = [], []
    for heatmap, mask, left_out in zip(heatmaps, masks, ignore, strict=True):
        low, high = heatmap.min(), heatmap.max()
        stretched = (heatmap - low) / (high - low) if high > low else np.zeros_like(heatmap)
        values.append(stretched[~left_out])
        truth.append(mask[~left_out])
    values, truth = np.concatenate(values), np.concatenate(truth)
    area, recall_before = 0.0, 0.0
    for threshold in [1.0, *THRESHOLDS[::-1]]:
        predicted = values >= threshold
        hits = (predicted & truth).sum()
        if predicted.any():
            area += hits / predicted.sum() * (hits / truth.sum() - recall_before)
            recall_before = hits / truth.sum()
    return area


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [None, 10, 100, 1000])
def test_pxap_equals_the_literal_version(seed, levels):
    rng = np.random.default_rng(seed)
    maps = random_maps(rng, 5, 8, 9, smooth=seed % 2)
    if levels:  # values on the thresholds themselves
        maps = np.round(maps * levels) / levels
        maps[:, 0, 0], maps[:, 0, 1] = 0, 1
    maps[0] = 4
    masks, ignore = rng.random(maps.shape) < maps, rng.random(maps.shape) < 0.2
    assert pxap(maps, masks, ignore) == pytest.approx(literal_pxap(maps, masks, ignore), abs=1e-9)


@given(MAPS, hnp.arrays(bool, (3, 5, 6)), st.sampled_from([0.25, 2.0, 8.0]), st.sampled_from([-4.0, 0.0, 3.0]))
def test_pxap_is_bounded_and_unmoved_by_scale_and_offset(maps, masks, scale, offset):
    area = pxap(maps, masks)
    assert pxap(maps * scale + offset, masks) == pytest.approx(area, nan_ok=True)
    assert np.isnan(area) == (not masks.any())
    assert not masks.any() or 0 < area <= 1 + 1e-12
