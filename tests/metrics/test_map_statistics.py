import numpy as np
import pytest
import quantus
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.map_statistics import MAP_STATISTICS, complexity, sparseness


@pytest.mark.parametrize(
    ("heatmap", "gini", "entropy"),
    [
        ([[1, 1], [1, 1]], 0, np.log(4)),  # constant
        ([[0, 0], [0, 0]], 0, np.log(4)),  # nothing
        ([[np.nan, 1], [0, 0]], 0, np.log(4)),  # broken: nothing
        ([[0, 0], [5, 0]], 3 / 4, 0),  # one pixel of four
        ([[0, -5], [0, 0]], 3 / 4, 0),  # the sign does not matter
        ([[0, 1], [1, 0]], 1 / 2, np.log(2)),  # ties
        ([[1, 2], [3, 4]], (-3 - 2 + 3 + 12) / 40, -sum(p * np.log(p) for p in (0.1, 0.2, 0.3, 0.4))),
    ],
)
def test_by_hand(heatmap, gini, entropy):
    heatmaps = np.array([heatmap], float)
    assert sparseness(heatmaps)[0] == pytest.approx(gini, abs=1e-12)
    assert complexity(heatmaps)[0] == pytest.approx(entropy, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equals_quantus(seed):
    rng = np.random.default_rng(seed)
    # At this scale quantus' additive constants of 1e-7 and 1e-12 weigh less than 1e-6.
    maps = rng.normal(size=(6, 1, 8, 9)) * 100
    x = np.zeros((6, 3, 8, 9))
    settings = {"abs": True, "normalise": False, "disable_warnings": True}
    for metric, ours in ((quantus.Sparseness, sparseness), (quantus.Complexity, complexity)):
        theirs = metric(**settings)(model=None, x_batch=x, y_batch=np.zeros(6, int), a_batch=maps.copy())
        assert ours(maps[:, 0]) == pytest.approx(np.array(theirs), abs=1e-6)


def test_values_are_means_over_the_images():
    maps = np.array([[[1, 1], [1, 1]], [[0, 0], [5, 0]]], float)
    assert MAP_STATISTICS.compute(heatmaps=maps) == pytest.approx({"sparseness": 3 / 8, "complexity": np.log(4) / 2})


@given(hnp.arrays(np.int16, (2, 3, 4)), st.integers(-8, 8).filter(bool), st.permutations(range(12)))
def test_bounds_scale_and_place_do_not_matter(maps, scale, order):
    gini, entropy = sparseness(maps), complexity(maps)
    assert (gini >= -1e-12).all()
    assert (gini <= 11 / 12 + 1e-12).all()
    assert (entropy >= -1e-12).all()
    assert (entropy <= np.log(12) + 1e-12).all()
    moved = maps.reshape(2, 12)[:, order].reshape(2, 3, 4).astype(float) * scale
    assert sparseness(moved) == pytest.approx(gini, abs=1e-12)
    assert complexity(moved) == pytest.approx(entropy, abs=1e-12)
