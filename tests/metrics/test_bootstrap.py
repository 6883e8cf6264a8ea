import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.metrics.bootstrap import bootstrap, differ, interval, resample_weights
from modeling_pm_vit.metrics.map_statistics import MAP_STATISTICS


def records(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"sparseness": values, "complexity": values}


@given(st.integers(1, 50), st.integers(0, 5))
def test_a_resample_draws_as_many_images_as_there_are(count, seed):
    weights = resample_weights(count, resamples=20, seed=seed)
    assert (weights.sum(1) == count).all()
    assert np.array_equal(weights, resample_weights(count, resamples=20, seed=seed))


def test_the_interval_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(bootstrap(MAP_STATISTICS, records(values))["sparseness"])
    error = values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def test_differences_are_paired():
    """A small difference that every image shows is certain, however much the images differ among themselves."""
    values = np.random.default_rng(0).normal(size=50)
    samples = [bootstrap(MAP_STATISTICS, records(v))["sparseness"] for v in (values, values + 0.01, values[::-1])]
    assert differ(samples[0], samples[1])
    assert not differ(samples[0], samples[2])
    assert not differ(samples[0], samples[0])


def test_without_a_value_there_is_no_interval():
    assert np.isnan(interval(np.full(5, np.nan))).all()
