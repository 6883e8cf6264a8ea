import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_pm_vit.data.samplers import DistributedBatchSampler, balanced, interleaved, shuffled


def drawn(batches: DistributedBatchSampler) -> list[list]:
    return list(batches)


@settings(max_examples=150, deadline=None)
@given(
    length=st.integers(1, 700),
    batch_size=st.integers(1, 17),
    world=st.sampled_from([1, 2, 3, 5, 8, 64]),
    contiguous=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_each_row_comes_once_and_all_processes_have_equally_many_batches(length, batch_size, world, contiguous, epoch):
    seen, sizes = [], []
    for rank in range(world):
        batches = DistributedBatchSampler(lambda e: shuffled(length, 7, e), length, batch_size, rank, world, contiguous)
        batches.set_epoch(epoch)
        mine = drawn(batches)
        assert len(mine) == len(batches)
        sizes.append([len(batch) for batch in mine])
        assert all(mine)
        seen += [draw for batch in mine for draw in batch]
    assert sizes.count(sizes[0]) == world
    real = [draw for draw in seen if draw.index >= 0]
    assert sorted(draw.index for draw in real) == list(range(length))
    assert sorted(draw.position for draw in real) == list(range(length))
    assert len(seen) - len(real) < world
    assert {draw.epoch for draw in real} == {epoch}


@pytest.mark.parametrize(("batch_size", "world"), [(16, 1), (8, 2), (4, 4)])
def test_a_global_batch_has_the_same_rows_for_any_number_of_processes(batch_size, world):
    order = shuffled(64, 0, 0)
    ranks = [drawn(DistributedBatchSampler(lambda e: order, 64, batch_size, rank, world)) for rank in range(world)]
    for step in range(4):
        rows = [draw.index for rank in ranks for draw in rank[step]]
        assert rows == order[16 * step : 16 * step + 16].tolist()


@given(blocks=st.lists(st.integers(1, 20), min_size=1, max_size=40), window=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_a_shuffle_by_blocks_needs_few_blocks_at_once(blocks, window):
    order = shuffled(sum(blocks), 3, 1, blocks, window)
    assert sorted(order) == list(range(sum(blocks)))
    block_of = np.repeat(np.arange(len(blocks)), blocks)[order]
    first = {b: np.flatnonzero(block_of == b).min() for b in set(block_of.tolist())}
    last = {b: np.flatnonzero(block_of == b).max() for b in set(block_of.tolist())}
    for position in range(len(order)):
        assert sum(first[b] <= position <= last[b] for b in first) <= window


def test_orders_differ_by_seed_and_epoch_and_repeat():
    assert shuffled(50, 0, 0).tolist() == shuffled(50, 0, 0).tolist()
    assert len({tuple(shuffled(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize(("rate", "others"), [(0.0, 7), (0.1, 7), (0.25, 3), (0.5, 1000), (0.9, 2)])
def test_the_second_source_has_its_share_and_is_used_completely(rate, others):
    counts = np.zeros(others, int)
    for epoch in range(4):
        order = interleaved(shuffled(200, 0, epoch), others, rate, 0, epoch)
        assert sorted(order[order < 200]) == list(range(200))
        is_extra = order >= 200
        assert is_extra.mean() == pytest.approx(rate, abs=0.01)
        cumulative = np.cumsum(is_extra) - rate * np.arange(1, len(order) + 1)
        assert np.abs(cumulative).max() <= 1.5  # evenly spread
        counts += np.bincount(order[is_extra] - 200, minlength=others)
    assert counts.max() - counts.min() <= 1


def test_a_rate_of_one_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        interleaved(np.arange(3), 2, 1.0, 0, 0)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    unlabelled=st.integers(0, 5),
    epochs=st.integers(1, 5),
    seed=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_balanced_classes_come_equally_often_and_all_of_their_rows(sizes, unlabelled, epochs, seed):
    labels = np.random.default_rng(seed).permutation(
        np.concatenate([np.repeat(np.arange(len(sizes)) * 2, sizes), np.full(unlabelled, -1)])
    )
    counts = np.zeros(len(labels), int)
    for epoch in range(epochs):
        order = balanced(labels, seed, epoch)
        assert len(order) == len(labels)
        assert order.tolist() == balanced(labels, seed, epoch).tolist()
        shares = np.bincount(labels[order])[::2]
        assert (labels[order] >= 0).all() and shares.max() - shares.min() <= 1
        counts += np.bincount(order, minlength=len(labels))
    for label in np.unique(labels[labels >= 0]):  # passes continue over the epochs
        assert np.ptp(counts[labels == label]) <= 1
    assert (counts[labels < 0] == 0).all()


def test_balanced_orders_differ_by_epoch_and_seed():
    labels = np.repeat([0, 1], [30, 10])
    assert len({tuple(balanced(labels, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
