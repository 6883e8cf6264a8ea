import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.metrics.unknown import (
    auroc,
    auroc_interval,
    threshold_for_coverage,
    threshold_for_precision,
)

SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=20)


@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_the_right_order(known, unknown):
    pairs = [(a > b) + (a == b) / 2 for a in known for b in unknown]
    assert auroc(np.array(known), np.array(unknown)) == pytest.approx(np.mean(pairs))


def test_auroc_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(1, 1, 80).round(1), rng.normal(0, 1, 50).round(1)
    expected = metrics.roc_auc_score([1] * 80 + [0] * 50, np.concatenate([known, unknown]))
    assert auroc(known, unknown) == pytest.approx(expected)
    low, high = auroc_interval(known, unknown, resamples=200)
    assert low < expected < high < low + 0.3
    assert np.isnan(auroc(known, unknown[:0])) and np.isnan(auroc_interval(known, unknown[:0])).all()


@given(SCORES, st.floats(0.01, 1))
def test_the_coverage_is_reached_and_no_higher_threshold_reaches_it(scores, coverage):
    scores = np.array(scores, float)
    threshold = threshold_for_coverage(scores, coverage)
    assert (scores >= threshold).mean() >= coverage - 1e-9
    above = scores[scores > threshold]
    assert not len(above) or (scores >= above.min()).mean() < coverage


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20), st.floats(0.05, 1))
def test_the_precision_is_reached_by_as_many_images_as_possible(pairs, precision):
    scores, right = np.array([pair[0] for pair in pairs], float), np.array([pair[1] for pair in pairs])
    threshold = threshold_for_precision(scores, right, precision)
    enough = [t for t in np.unique(scores) if right[scores >= t].mean() >= precision - 1e-12]
    assert threshold == min(enough) if enough else np.isnan(threshold)
