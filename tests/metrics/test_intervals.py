import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from modeling_pm_vit.metrics.intervals import area_under_roc, f1_score, mean_of_independent, proportion


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_proportion_has_the_interval_of_scipy(pair):
    successes, trials = pair
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    found = proportion(np.array(successes), np.array(trials))
    assert found == pytest.approx([successes / trials, expected.low, expected.high], abs=1e-9)


def test_without_trials_there_is_no_share():
    assert np.isnan(proportion(np.array([0]), np.array([0]))).all()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_f1_lies_in_its_interval_and_is_that_of_the_counts(both, missed, wrong):
    value, low, high = f1_score(np.array(both), np.array(both + missed + wrong))
    if both + missed + wrong == 0:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(2 * both / (2 * both + missed + wrong))
        assert 0 <= low <= value <= high <= 1


def test_a_mean_of_equal_estimates_is_surer_by_the_root_of_their_number():
    one = proportion(np.array(30), np.array(50))
    value, low, high = mean_of_independent(np.stack([one] * 4 + [np.full(3, np.nan)]))
    assert value == pytest.approx(one[0])
    assert (value - low, high - value) == pytest.approx(((one[0] - one[1]) / 2, (one[2] - one[0]) / 2))


def test_an_area_has_an_interval_even_if_the_ranking_is_perfect():
    areas, present, absent = np.array([1.0, 0.0, 0.5, np.nan]), np.array([5, 5, 20, 3]), np.array([5, 5, 20, 0])
    found = area_under_roc(areas, present, absent)
    assert found[0, 1] < 0.8 and found[0, 2] == 1
    assert found[1] == pytest.approx(1 - found[0, [0, 2, 1]])
    assert found[2, 2] - 0.5 == pytest.approx(0.5 - found[2, 1])
    assert np.isnan(found[3]).all()
    more = area_under_roc(np.array([0.9, 0.9]), np.array([10, 100]), np.array([10, 100]))
    assert more[0, 1] < more[1, 1] < 0.9 < more[1, 2] < more[0, 2]


def test_the_interval_of_an_area_holds_as_often_as_it_says():
    """300 draws of 20 and 30 images whose true area is 0.76: between 92 and 98 % of the intervals have it."""
    rng = np.random.default_rng(0)
    present, absent = rng.normal(1, 1, (300, 20, 1)), rng.normal(0, 1, (300, 1, 30))
    found = area_under_roc((present > absent).mean((1, 2)), np.full(300, 20), np.full(300, 30))
    assert 0.92 <= np.mean((found[:, 1] <= 0.7602) & (found[:, 2] >= 0.7602)) <= 0.985
