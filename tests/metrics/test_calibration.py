import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.functional.classification import binary_calibration_error

from modeling_pm_vit.metrics.calibration import BINS, bin_sums, calibration_error

ONCE = np.ones((1, 1))


def error_of(probabilities, outcomes, known=None):
    """The error of a single image."""
    known = None if known is None else np.array([known])
    return float(calibration_error(bin_sums(np.array([probabilities]), np.array([outcomes]), known), ONCE)[0])


def test_by_hand():
    # One bin holds .61, .62, .63 (two of three are so), another .1, and .9 has its own.
    expected = (abs(0.61 + 0.62 + 0.63 - 2) + abs(0.1 - 1) + abs(0.9 - 1)) / 5
    assert error_of([0.61, 0.62, 0.63, 0.1, 0.9], [1, 1, 0, 1, 1]) == pytest.approx(expected, abs=1e-12)


def test_bins_are_closed_on_the_right_and_the_first_on_both_sides():
    edges = np.arange(BINS + 1) / BINS  # 0 and 1 included
    counts = bin_sums(edges[None], np.zeros((1, BINS + 1)))[0, :, 0]
    assert counts.tolist() == [2] + [1] * (BINS - 1)
    above = np.nextafter(edges[:-1], 1)
    assert bin_sums(above[None], np.zeros((1, BINS)))[0, :, 0].tolist() == [1] * BINS


def test_only_known_values_count():
    assert error_of([0.3, np.nan, 7.0], [0, 1, 1], [True, False, False]) == pytest.approx(0.3)
    assert np.isnan(error_of([0.3], [0], [False]))


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, np.nan])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        bin_sums(np.array([[0.5, value]]), np.zeros((1, 2)))


@pytest.mark.parametrize("seed", range(5))
def test_equals_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.5, 0.5, size=(4, 300)).clip(1e-9, 1 - 1e-6)
    outcomes = rng.random((4, 300)) < probabilities**2
    ours = calibration_error(bin_sums(probabilities, outcomes), np.ones((1, 4)))[0]
    theirs = binary_calibration_error(
        torch.tensor(probabilities).flatten(), torch.tensor(outcomes).flatten().int(), n_bins=15, norm="l1"
    )
    assert ours == pytest.approx(float(theirs), abs=1e-6)


@given(
    hnp.arrays(np.float64, (3, 7), elements=st.floats(0, 1)),
    hnp.arrays(bool, (3, 7)),
    hnp.arrays(np.int64, 3, elements=st.integers(0, 3)),
)
def test_bounded_and_weights_repeat(probabilities, outcomes, times):
    sums = bin_sums(probabilities, outcomes)
    assert sums[..., 0].sum() == 21
    repeated = calibration_error(sums.repeat(times, 0), np.ones((1, times.sum())))
    weighted = calibration_error(sums, times[None])
    assert weighted == pytest.approx(repeated, abs=1e-12, nan_ok=True)
    assert np.isnan(weighted).all() == (times.sum() == 0)
    assert times.sum() == 0 or 0 <= weighted[0] <= 1 + 1e-12


@given(hnp.arrays(bool, (1, 9)))
def test_certain_and_right_is_calibrated(outcomes):
    assert calibration_error(bin_sums(outcomes.astype(float), outcomes), ONCE)[0] == 0
    assert calibration_error(bin_sums(1.0 - outcomes, outcomes), ONCE)[0] == 1
