"""A part of a dataset has images of all classes, whatever the order of its rows."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.data.drawing import draw, drawn_order
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.sources import open_rows

labels_of = st.lists(st.sampled_from("aabbbc"), min_size=1, max_size=80)


@given(labels=labels_of, seed=st.integers(0, 3), count=st.integers(1, 80), block=st.integers(1, 9))
def test_every_class_has_its_share_and_at_least_one(labels, seed, count, block):
    for blocks in (None, [block] * (len(labels) // block) + [len(labels) % block]):
        order = drawn_order(labels, seed, blocks)
        assert sorted(order) == list(range(len(labels)))
        drawn = [labels[row] for row in order[:count]]
        assert len(set(drawn)) == min(count, len(set(labels)))
        for label in set(labels):
            share = labels.count(label) * len(drawn) / len(labels)
            assert abs(drawn.count(label) - share) < 1 + len(set(labels)) * (1 - len(drawn) / len(labels))
        assert list(drawn_order(labels, seed, blocks)) == list(order)


def test_other_seeds_choose_other_rows_and_other_classes():
    labels = np.repeat(np.arange(50), 20).tolist()
    chosen = [drawn_order(labels, seed)[:10] for seed in range(3)]
    assert len({tuple(sorted(rows)) for rows in chosen}) == 3
    assert len({tuple(sorted(labels[row] for row in rows)) for rows in chosen}) == 3


def test_rows_without_a_class_and_with_several():
    labels = [None, [], ["a", "b"], ["a"], ["a"], ["a", "b", "c"], "a", "a"]
    first = drawn_order(labels, 0)[:4].tolist()
    assert 5 in first and 2 in first and first.count(0) + first.count(1) == 1


def test_shuffled_blocks_that_are_not_needed_are_not_read():
    rng = np.random.default_rng(0)
    labels, blocks = rng.integers(0, 10, 10_000).tolist(), [100] * 100
    rows = drawn_order(labels, 0, blocks)[:500]
    assert len(np.unique(rows // 100)) <= 10  # 5 would be the least


@pytest.fixture
def sorted_rows(tmp_path):
    """Two parquet files in which the classes stand one after the other, in row groups of five."""
    features = Features({"label": ClassLabel(names=["a", "b", "c", "d"]), "number": Value("int32")})
    labels = np.repeat([0, 1, 2, 3], 20).tolist()
    for part in range(2):
        here = slice(40 * part, 40 * part + 40)
        data = Dataset.from_dict({"label": labels[here], "number": list(range(80))[here]}, features)
        data.to_parquet(str(tmp_path / f"train-{part}.parquet"), batch_size=5)
    return str(tmp_path)


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_of_files_that_are_sorted_by_class(sorted_rows, streaming):
    whole = open_rows(sorted_rows, "train", streaming=streaming)
    rows = draw(whole, "label", 8, seed=1)
    assert [row["label"] for row in (rows[i] for i in range(8))] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [rows[i]["number"] for i in range(8)] == rows.values("number") == [int(i) for i in rows.indices]
    assert rows.place(7) == whole.place(int(rows.indices[7]))
    if streaming:
        assert sum(rows.blocks) == 8 and len(rows.blocks) <= 8
    assert draw(whole, "label", 80, seed=1) is draw(whole, "label", None, seed=1) is whole


def test_values_of_a_dataset_are_read_without_the_other_columns():
    data = Dataset.from_dict({"label": [1, None], "other": ["x", "y"]})
    assert list(DatasetRows(data, "set").values("label")) == [1, None]
