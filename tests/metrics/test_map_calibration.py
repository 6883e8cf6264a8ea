import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from modeling_pm_vit.metrics.map_calibration import MAP_CALIBRATION


def error_of(**inputs):
    return MAP_CALIBRATION.compute(**inputs)["pixel_calibration_error"]


def test_by_hand():
    heatmaps = np.array([[[0.9, 0.9], [0.1, 0.0]], [[0.1, 1.0], [0.5, 0.5]]])
    masks = np.array([[[1, 0], [0, 0]], [[1, 1], [0, 1]]])
    # Over the set: 0 and .1 are in two bins, .5, .9 and 1 in one each.
    expected = (abs(0.2 - 1) + abs(1.0 - 1) + abs(1.8 - 1) + 0 + 0) / 8
    assert error_of(heatmaps=heatmaps, masks=masks) == pytest.approx(expected, abs=1e-12)


def test_ignored_pixels_do_not_count():
    heatmaps, masks = np.array([[[0.5, 1.0]]]), np.array([[[1, 0]]])
    assert error_of(heatmaps=heatmaps, masks=masks, ignore=np.array([[[0, 1]]])) == pytest.approx(0.5)
    assert np.isnan(error_of(heatmaps=heatmaps, masks=masks, ignore=np.ones((1, 1, 2))))


def test_a_map_that_is_not_a_probability_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        error_of(heatmaps=np.full((1, 2, 2), 1.5), masks=np.zeros((1, 2, 2)))


def test_a_broken_map_counts_as_one_that_sees_nothing():
    masks = np.array([[[1, 0], [0, 0]]])
    assert error_of(heatmaps=np.full((1, 2, 2), np.nan), masks=masks) == 0.25


@pytest.mark.parametrize("seed", range(3))
def test_equals_torchmetrics_with_ignored_pixels(seed):
    rng = np.random.default_rng(seed)
    heatmaps = rng.random((5, 6, 7)).clip(1e-6, 1 - 1e-6)
    masks, ignore = rng.random(heatmaps.shape) < heatmaps**2, rng.random(heatmaps.shape) < 0.2
    targets = np.where(ignore, -1, masks)
    theirs = binary_calibration_error(torch.tensor(heatmaps), torch.tensor(targets), 15, "l1", ignore_index=-1)
    assert error_of(heatmaps=heatmaps, masks=masks, ignore=ignore) == pytest.approx(float(theirs), abs=1e-6)
