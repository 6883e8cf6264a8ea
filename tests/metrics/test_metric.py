"""What holds for every metric: records belong to images, and values are weighted by images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.metric import means, weighted_mean, weighted_sum
from modeling_pm_vit.metrics.registry import METRICS
from tests.metrics.inputs import N, random_inputs


def picked(inputs: dict, images) -> dict:
    return {
        name: [values[i] for i in images] if isinstance(values, list) else values[images]
        for name, values in inputs.items()
    }


def measure(metric, inputs, rest):
    """Records; the inputs are held against what they were before."""
    before = picked(inputs, np.arange(N)) if len(next(iter(inputs.values()))) == N else None
    records = metric.measure(**inputs, **rest)
    if before is not None:
        for name, values in inputs.items():
            assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(values, before[name], strict=True)), name
    return records


every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
seeds = pytest.mark.parametrize("seed", range(3))


@every_metric
def test_is_described(metric):
    inputs, rest = random_inputs(metric, 0)
    values = metric.compute(**inputs, **rest)
    assert list(values) == [value.name for value in metric.values]
    assert metric.variant
    assert set(metric.features) <= set(inputs)
    for name, (rank, _) in metric.features.items():
        assert np.ndim(inputs[name][0]) == rank


@every_metric
@seeds
def test_records_are_of_images_whatever_the_batch(metric, seed):
    inputs, rest = random_inputs(metric, seed)
    records = measure(metric, inputs, rest)
    for split in ([range(i, i + 1) for i in range(N)], [range(0, 3), range(3, 7)]):
        parts = [measure(metric, picked(inputs, list(images)), rest) for images in split]
        for name, values in records.items():
            assert len(values) == N
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_allclose(joined, values, rtol=1e-12, atol=1e-12, err_msg=name)


@every_metric
@seeds
def test_the_order_of_the_images_does_not_matter(metric, seed):
    inputs, rest = random_inputs(metric, seed)
    shuffled = picked(inputs, np.random.default_rng(seed).permutation(N))
    assert metric.compute(**shuffled, **rest) == pytest.approx(metric.compute(**inputs, **rest), nan_ok=True)


@every_metric
@seeds
def test_weights_are_repetitions(metric, seed):
    inputs, rest = random_inputs(metric, seed)
    records = measure(metric, inputs, rest)
    times = np.vstack([np.ones((1, N), int), np.random.default_rng(seed).multinomial(N, [1 / N] * N, size=6)])
    weighted = metric.summarize(records, times)
    for row, draw in enumerate(times):
        repeated = metric.compute(**picked(inputs, np.arange(N).repeat(draw)), **rest)
        assert {name: values[row] for name, values in weighted.items()} == pytest.approx(repeated, nan_ok=True)
        assert all(values.shape == (len(times),) for values in weighted.values())


@every_metric
def test_scaled_weights_are_the_same_weights(metric):
    inputs, rest = random_inputs(metric, 0)
    records = measure(metric, inputs, rest)
    times = np.random.default_rng(0).multinomial(N, [1 / N] * N, size=4)
    whole, shares = metric.summarize(records, times), metric.summarize(records, times / 1000)
    for name, values in whole.items():
        assert shares[name] == pytest.approx(values, nan_ok=True), name


@every_metric
@pytest.mark.filterwarnings("error")
def test_weights_of_zero_give_no_value(metric):
    inputs, rest = random_inputs(metric, 0)
    values = metric.summarize(measure(metric, inputs, rest), np.zeros((2, N)))
    assert all(np.isnan(value).all() and value.shape == (2,) for value in values.values())


@every_metric
def test_values_in_per_cent_lie_between_0_and_1(metric):
    for seed in range(5):
        inputs, rest = random_inputs(metric, seed)
        values = metric.compute(**inputs, **rest)
        for value in metric.values:
            assert value.scale == 1 or value.spread_of or 0 <= values[value.name] <= 1


VALUES = hnp.arrays(np.float64, (4, 2), elements=st.just(np.nan) | st.floats(-1e3, 1e3))


@given(VALUES, hnp.arrays(np.int64, (3, 4), elements=st.integers(0, 3)))
def test_weighted_mean_leaves_out_what_is_unknown(values, times):
    expected = np.full((3, 2), np.nan)
    for row, draw in enumerate(times):
        for column in range(2):
            known = [v for v in values[:, column].repeat(draw) if not np.isnan(v)]
            expected[row, column] = np.mean(known) if known else np.nan
    assert weighted_mean(values, times) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert means("a")({"a": values[:, 0]}, times)["a"] == pytest.approx(expected[:, 0], abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2,), (2, 3, 4)])
def test_weighted_sum_keeps_the_shape_of_an_image(shape):
    values = np.random.default_rng(0).random(shape)
    weights = np.random.default_rng(1).random((5, shape[0]))
    expected = sum((w[(...,) + (None,) * (len(shape) - 1)] * v for w, v in zip(weights.T, values, strict=True)),
                   np.zeros((5, *shape[1:])))  # fmt: skip
    assert weighted_sum(values, weights) == pytest.approx(expected)
