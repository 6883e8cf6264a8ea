import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_pm_vit.data.groups import group_parts, require_separate_groups, stratified_parts
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.sources import open_rows


def scans(groups: list[str | None], labels: list[int], name: str = "scans (train)") -> DatasetRows:
    features = Features({"label": ClassLabel(names=["benign", "malignant"]), "patient": Value("string")})
    return DatasetRows(Dataset.from_dict({"label": labels, "patient": groups}, features), name)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=13, max_size=80), st.integers(2, 5))
@settings(max_examples=50, deadline=None)
def test_a_group_is_in_one_part_and_no_part_is_empty(rows, parts):
    groups, labels = [*range(13), *(group for group, _ in rows)], [0] * 13 + [label for _, label in rows]
    found = stratified_parts(groups, [[label] for label in labels], parts)
    assert all(len(set(found[np.array(groups) == group])) == 1 for group in set(groups))
    assert set(found.tolist()) == set(range(parts))
    assert found.tolist() == stratified_parts(groups, [[label] for label in labels], parts).tolist()


def test_parts_have_about_as_many_images_of_each_class():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(120), rng.integers(1, 5, 120))
    labels = (groups % 8 == 0).astype(int)  # one patient of eight has the rare class
    order = rng.permutation(len(groups))
    found = stratified_parts(groups[order].tolist(), [[label] for label in labels[order].tolist()], 5)
    counts = np.array([np.bincount(labels[order][found == part], minlength=2) for part in range(5)])
    assert (np.ptp(counts, axis=0) <= 4).all()


def test_rows_without_a_group_are_groups_of_their_own_and_need_no_class():
    found = stratified_parts([None] * 6, [[]] * 6, 3)
    assert np.bincount(found).tolist() == [2, 2, 2]


def test_too_few_groups_and_a_missing_column_are_named():
    with pytest.raises(ValueError, match=r"scans \(train\) has 2 groups, which cannot be divided into 3 parts"):
        group_parts(scans(["a", "a", "b"], [0, 0, 1]), "patient", "label", 3)
    with pytest.raises(ValueError, match=r"--group_column: scans \(train\) has no column 'lesion'"):
        group_parts(scans(["a"], [0]), "lesion", "label", 2)


def test_a_group_in_training_and_evaluation_is_refused():
    train = scans(["a", "b", None], [0, 1, 0])
    require_separate_groups([train], scans(["c", None], [0, 1], "scans (test)"), "patient")
    with pytest.raises(ValueError, match=r"1 groups \('b'\) are in .* scans \(test\), where 2 of 3 images belong to"):
        require_separate_groups([train], scans(["b", "c", "b"], [0, 0, 1], "scans (test)"), "patient")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_part_of_a_split_has_whole_groups(tmp_path, streaming):
    groups = [f"p{i // 3}" for i in range(30)]
    scans(groups, [i // 3 % 2 for i in range(30)]).dataset.to_parquet(tmp_path / "train.parquet", batch_size=7)
    parts = [
        open_rows(str(tmp_path), split, streaming=streaming, group_column="patient").values("patient")
        for split in ("train[0/5]", "train[!0/5]")
    ]
    assert (len(parts[0]), len(parts[1])) == (6, 24) and not set(parts[0]) & set(parts[1])
    assert len(open_rows(str(tmp_path), "train[0/5]", streaming=streaming).values("patient")) == 6
