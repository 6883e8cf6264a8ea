import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_pm_vit.metrics.temperature import (
    class_likelihood_loss,
    fit_class_temperature,
    fit_map_temperature,
    map_likelihood_loss,
)

pytest.importorskip("scipy")


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_the_temperature_that_made_the_data_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((20_000, 4))
    drawn = (logits / temperature + rng.gumbel(size=logits.shape)).argmax(1)  # of the softmax at this temperature
    assert fit_class_temperature(logits, drawn) == pytest.approx(temperature, rel=0.08)
    covered = rng.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))
    assert fit_map_temperature(logits, covered) == pytest.approx(temperature, rel=0.08)


def test_unknown_patches_are_left_out():
    rng = np.random.default_rng(0)
    logits, coverage = rng.standard_normal((2, 50, 4, 4))
    coverage = 1 / (1 + np.exp(-coverage))
    hidden = np.where(rng.random(coverage.shape) < 0.5, np.nan, coverage)
    known = np.isfinite(hidden)
    assert fit_map_temperature(logits, hidden) == fit_map_temperature(logits[known], coverage[known])
    assert map_likelihood_loss(logits, hidden) == pytest.approx(map_likelihood_loss(logits[known], coverage[known]))


@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_no_other_temperature_fits_better(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.standard_normal((60, 3)) * 4, rng.integers(0, 3, 60)
    best = class_likelihood_loss(logits, labels, fit_class_temperature(logits, labels))
    assert all(best <= class_likelihood_loss(logits, labels, t) + 1e-6 for t in np.geomspace(0.06, 19, 40))
