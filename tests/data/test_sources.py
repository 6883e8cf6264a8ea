import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets import Image as ImageFeature
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit.data.class_views import EmptyClasses, rows_of_classes, with_empty_classes, without_classes
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.decoding import decode_value
from modeling_pm_vit.data.masks import decode_mask
from modeling_pm_vit.data.rows import DatasetRows, MaskSubset, RowsWithMasks, row_number
from modeling_pm_vit.data.sources import load_split, open_rows
from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.utils.errors import InputError, NotFoundError


@pytest.fixture
def imagefolder(tmp_path):
    for split, labels in (("train", ["tit", "owl", "owl"]), ("test", ["owl", "wren"])):
        folder = tmp_path / "birds" / split
        folder.mkdir(parents=True)
        with (folder / "metadata.jsonl").open("w") as metadata:
            for i, label in enumerate(labels):
                Image.fromarray(np.full((6, 8, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
                metadata.write(json.dumps({"file_name": f"{i}.png", "label": label, "box": [0, 0, 4, 4]}) + "\n")
    return tmp_path / "birds"


def test_an_imagefolder_gets_the_same_classes_in_every_split(imagefolder):
    train, test = load_split(str(imagefolder), "train"), load_split(str(imagefolder), "test")
    assert train.features["label"] == test.features["label"] == ClassLabel(names=["owl", "tit", "wren"])
    assert train["label"][:] == [1, 0, 0]
    assert test["label"][:] == [0, 2]
    assert train[0]["image"].size == (8, 6)


@pytest.mark.parametrize("empty", [{}, {"mask_file_name": None}])
def test_an_imagefolder_may_have_masks_in_one_split_only(imagefolder, empty):
    for split in ("train", "test"):
        metadata = imagefolder / split / "metadata.jsonl"
        rows = [json.loads(line) | empty for line in metadata.read_text().splitlines()]
        if split == "train":
            Image.new("L", (8, 6), 1).save(imagefolder / split / "mask.png")
            rows[1]["mask_file_name"] = "mask.png"
        metadata.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, test = open_rows(str(imagefolder), "train"), open_rows(str(imagefolder), "test")
    assert [decode_value(train[i]["mask"]) is not None for i in range(3)] == [False, True, False]
    assert train.rows_with("mask").tolist() == [1]
    assert [test[i].get("mask") for i in range(2)] == [None, None]
    assert train.features["label"] == test.features["label"]


def test_parquet_files_are_splits(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        data = Dataset.from_dict({"label": list(range(count))}).cast_column("label", ClassLabel(names=["a", "b", "c"]))
        data.to_parquet(str(tmp_path / f"{split}.parquet"))
    assert len(load_split(str(tmp_path), "train")) == 3
    assert len(load_split(str(tmp_path), "val", size=1)) == 1


def test_missing_folders_splits_and_columns_are_named(imagefolder):
    with pytest.raises(ValueError, match=r"no split 'val'; it has .*train"):
        load_split(str(imagefolder), "val")
    with pytest.raises(ValueError, match=r"no column 'species'.*label"):
        load_split(str(imagefolder), "train", label_column="species")
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_split(str(imagefolder / "nowhere"), "train")


@given(length=st.integers(1, 200), fraction=st.floats(0, 1))
def test_only_some_rows_keep_their_masks(length, fraction):
    rows = MaskSubset(Counted(length), "mask", "label", fraction)
    kept = [row["mask"] is not None for row in (rows[index] for index in range(length))]
    assert abs(sum(kept) - fraction * length) < 1
    assert rows.rows_with("mask").tolist() == [index for index in range(length) if kept[index]]
    assert rows.rows_with("label").tolist() == list(range(length))
    assert all(rows[index]["label"] == index for index in range(length))
    if 0 < fraction <= 0.5:  # evenly: never two neighbours
        assert not any(a and b for a, b in pairwise(kept))


@given(length=st.integers(1, 300), classes=st.integers(1, 20), fraction=st.floats(0, 1))
def test_every_class_keeps_the_same_fraction_of_its_masks_even_where_classes_follow_one_another(
    length, classes, fraction
):
    rows = MaskSubset(Counted(length, classes), "mask", "label", fraction)
    of_class = np.bincount(rows.rows_with("mask") % classes, minlength=classes)
    for number, kept in enumerate(of_class):
        assert abs(kept - fraction * len(range(number, length, classes))) < 1.0001


class Counted:
    """Rows with a mask and their own number as label, or what it leaves by the number of classes."""

    name, blocks, features = "counted", None, {}

    def __init__(self, length, classes=1000):
        self.length, self.classes = length, classes

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {"label": index % self.classes, "mask": b""}

    def values(self, column):
        return [index % self.classes for index in range(self.length)]

    def rows_with(self, column):
        return np.arange(self.length)


@given(length=st.integers(1, 60), fraction=st.floats(0, 1))
def test_only_rows_with_a_mask(length, fraction):
    few = MaskSubset(Counted(length), "mask", "label", fraction)
    rows = RowsWithMasks(few, "mask")
    assert [rows[i]["label"] for i in range(len(rows))] == few.rows_with("mask").tolist()
    assert all(rows[i]["mask"] is not None for i in range(len(rows)))
    assert rows.rows_with("mask").tolist() == rows.rows_with("label").tolist() == list(range(len(rows)))


def test_rows_with_a_mask_of_a_part_of_a_split(tmp_path):
    synthetic_dataset("train", 13, image_size=16, mask_fraction=0.4).to_parquet(tmp_path / "train.parquet")
    for split in ("train", "train[1/4]", "train[!1/4]"):
        rows = open_rows(str(tmp_path), split)
        assert rows.rows_with("mask").tolist() == [i for i in range(len(rows)) if rows[i]["mask"] is not None]


@pytest.mark.parametrize("fraction", [-0.1, 1.5])
def test_the_fraction_of_masks_must_be_in_range(fraction):
    with pytest.raises(ValueError, match=rf"\[0, 1\], got {fraction}"):
        MaskSubset(Counted(3), "mask", "label", fraction)


def test_every_nth_row_of_a_split_and_all_others(tmp_path):
    synthetic_dataset("train", 13, image_size=16).to_parquet(tmp_path / "train.parquet")
    rows = open_rows(str(tmp_path), "train")
    part, others = open_rows(str(tmp_path), "train[1/4]"), open_rows(str(tmp_path), "train[!1/4]")
    assert [part[i] for i in range(len(part))] == [rows[i] for i in (1, 5, 9)]
    assert [others[i] for i in range(len(others))] == [rows[i] for i in range(13) if i not in (1, 5, 9)]
    with pytest.raises(ValueError, match=r"the part must lie in 0 \.\.\. 3, got 4"):
        open_rows(str(tmp_path), "train[4/4]")
    with pytest.raises(ValueError, match=r"no split 'test'; it has train"):
        open_rows(str(tmp_path), "test[0/4]")


# --- files, patterns, splits ------------------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    """Integer labels 0 to 2 in two training files and one for evaluation; row i is class i % 3."""
    folder = tmp_path / "birds"
    folder.mkdir()
    for name, rows in (("train-00000-of-00002", range(6)), ("train-00001-of-00002", range(6, 9)), ("test-0", range(3))):
        table = pa.table({"image": [bytes([i]) for i in rows], "label": [i % 3 for i in rows]})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=2)
    return folder


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("source", "split", "expected"),
    [
        ("birds", "train", range(9)),
        ("birds/train-00001-of-00002.parquet", "anything", range(6, 9)),
        ("birds/{split}-*.parquet", "train", range(9)),
        ("birds/{split}-*.parquet", "test", range(3)),
        ("birds/train-*.parquet", "test", range(9)),
        ("birds/{split}-*.parquet", "train[1/4]", [1, 5]),
        ("birds", "train[!0/2]", [1, 3, 5, 7]),
    ],
)
def test_a_folder_a_file_and_a_pattern_are_read_alike(parquet, monkeypatch, source, split, expected, streaming):
    monkeypatch.chdir(parquet.parent)
    rows = open_rows(source, split, streaming=streaming)
    assert [rows[i]["image"][0] for i in range(len(rows))] == list(expected)
    assert list(rows.values("label")) == [i % 3 for i in expected]
    assert len(open_rows(source, split, 2, streaming)) == 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("source", ["nowhere.parquet", "nowhere/{split}-*.parquet", "nowhere/*.parquet"])
def test_a_file_that_is_not_there_is_named(source, streaming):
    with pytest.raises(NotFoundError, match=r"there is no file .*nowhere.*parquet\."):
        open_rows(source, "train", streaming=streaming)


def test_a_split_whose_name_begins_like_another_one_is_another_one(parquet):
    (parquet / "test-0.parquet").rename(parquet / "train-semi-00000-of-00001.parquet")
    for streaming in (False, True):
        assert len(open_rows(str(parquet), "train", streaming=streaming)) == 9
        assert len(open_rows(str(parquet), "train-semi", streaming=streaming)) == 3


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("train.x", "train"),
        ("train-0", "train"),
        ("train0001", "train"),
        ("train_000-of-004", "train"),
        ("train-00000-of-00001-ab12", "train"),
        ("val2017", "val2017"),
        ("val2017-000", "val2017"),
    ],
)
def test_names_of_files_of_a_split(parquet, name, split):
    for file in parquet.glob("train*"):
        file.unlink()
    (parquet / "test-0.parquet").rename(parquet / f"{name}.parquet")
    for streaming in (False, True):
        assert len(open_rows(str(parquet), split, streaming=streaming)) == 3


def test_the_files_of_a_downloaded_dataset_lie_in_its_folder_data(parquet):
    parquet.rename(parquet.with_name("data"))
    assert len(open_rows(str(parquet.parent), "train")) == 9


@pytest.mark.parametrize("streaming", [False, True])
def test_files_may_lack_the_column_of_masks(tmp_path, streaming):
    """A file of a split, and all of another split."""
    for name, mask in (("train-0", [b"x", None]), ("train-1", None), ("test-0", None)):
        columns = {"label": [0, 1], "image": [b"y"] * 2} | ({} if mask is None else {"mask": mask})
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    rows = open_rows(str(tmp_path), "train", streaming=streaming)
    assert rows.rows_with("mask").tolist() == [0]
    assert [rows[i].get("mask") for i in range(4)] == [b"x", None, None, None]
    assert "mask" not in open_rows(str(tmp_path), "test", streaming=streaming).features


@pytest.mark.parametrize("empty", ["folder", "metadata", "all"])
def test_a_split_without_images_is_named(imagefolder, empty):
    for path in (imagefolder / "test").iterdir():
        path.unlink()
    if empty == "metadata":
        (imagefolder / "test" / "metadata.jsonl").write_text("")
    if empty == "all":
        for path in (imagefolder / "train").iterdir():
            path.unlink()
        with pytest.raises((InputError, NotFoundError), match="birds"):
            open_rows(str(imagefolder), "train")
        return
    with pytest.raises(InputError, match=r"birds has no images in its folder 'test'; it has train\."):
        open_rows(str(imagefolder), "test")


def test_a_fold_without_rows_is_named(parquet):
    with pytest.raises(InputError, match=r"has no rows in the split 'test\[8/9\]'"):
        open_rows(str(parquet), "test[8/9]")


# --- names of classes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
def test_integers_get_the_names_of_a_list(parquet, streaming):
    rows = open_rows(str(parquet), "train", streaming=streaming, class_names=["jay", "owl", "tit", "wren"])
    assert rows.features["label"].names == ["jay", "owl", "tit", "wren"]
    assert [rows[i]["label"] for i in range(4)] == [0, 1, 2, 0]
    with pytest.raises(InputError, match=r"classes that --class_names does not have: 0, 1, 2 \(3 of 3\)"):
        open_rows(str(parquet), "train", streaming=streaming, class_names=["jay", "owl"])


def test_names_go_by_name_and_their_list_gives_the_order(imagefolder):
    rows = open_rows(str(imagefolder), "train", class_names=["wren", "tit", "jay", "owl"])
    assert [rows[i]["label"] for i in range(3)] == list(rows.values("label")) == [1, 3, 3]
    with pytest.raises(InputError, match=r"classes that --class_names does not have: wren \(1 of 3\)"):
        open_rows(str(imagefolder), "train", class_names=["owl", "tit"])


@pytest.mark.parametrize("other", ["Owl", "owl ", " owl"])
def test_names_that_differ_in_case_or_blanks_are_refused_unless_they_are_listed(tmp_path, other):
    Dataset.from_dict({"label": ["owl", other]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match=f"'{other}'.*differ in case or blanks only.*--class_names"):
        open_rows(str(tmp_path), "train")
    assert len(open_rows(str(tmp_path), "train", class_names=["owl", other])) == 2


# --- classes without an object ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_column", [True, False])
def test_images_of_an_empty_class_have_an_empty_mask_where_they_have_none(has_column):
    features = Features({"label": ClassLabel(names=["benign", "normal"]), "mask": ImageFeature()})
    mask = Image.new("L", (4, 3), 1)
    data = Dataset.from_dict({"label": [0, 1, 1, 0], "mask": [mask, None, mask, None]}, features)
    plain = DatasetRows(data if has_column else data.remove_columns("mask"), "busi")
    rows = EmptyClasses(plain, "mask", "label", ["normal"])
    assert "mask" in rows.features
    assert rows.rows_with("mask").tolist() == ([0, 1, 2] if has_column else [1, 2])
    decoded = [decode_mask(decode_value(rows[i].get("mask")), "binary", rows[i]["label"], (3, 4)) for i in range(4)]
    assert [found.classes for found in decoded] == ([[0], [1], [1], []] if has_column else [[], [1], [1], []])
    assert not decoded[1].planes.any()
    assert decoded[2].planes.all() == has_column
    assert with_empty_classes(plain, Columns(mask=None), []) is plain
    with pytest.raises(InputError, match="--empty_classes needs a --mask_column"):
        with_empty_classes(plain, Columns(mask=None), ["normal"])
    with pytest.raises(
        InputError, match=r"--empty_classes: busi has no class 'healthy'; its classes are benign, normal"
    ):
        EmptyClasses(plain, "mask", "label", ["healthy"])


# --- classes that are left out ----------------------------------------------------------------------------------------


def test_rows_of_classes_that_are_left_out_are_gone_and_the_others_numbered_anew():
    features = Features({"label": ClassLabel(names=["a", "b", "c"]), "mask": Value("int64")})
    rows = DatasetRows(
        Dataset.from_dict({"label": [2, 1, 0, 2, None], "mask": [5, 6, None, None, 8]}, features), "moles"
    )
    left = without_classes(rows, Columns(), ["b"], "binary")
    assert left.features["label"].names == ["a", "c"] and rows.features["label"].names == ["a", "b", "c"]
    assert list(left.values("label")) == [1, 0, 1, None]
    assert [(left[i]["label"], left[i]["mask"]) for i in range(4)] == [(1, 5), (0, None), (1, None), (None, 8)]
    assert left.rows_with("mask").tolist() == [0, 3] and left.place(1) == rows.place(2)
    assert [row_number(MaskSubset(left, "mask", "label", 1).rows, i) for i in range(4)] == [0, 2, 3, 4]
    assert list(rows_of_classes(rows, "label", ["b", "a"]).values("label")) == [1, 0]
    assert without_classes(rows, Columns(), [], "class_id") is rows
    with pytest.raises(InputError, match=r"--leave_out_classes: moles has no class 'd'; its classes are a, b, c"):
        without_classes(rows, Columns(), ["d"], "binary")
    with pytest.raises(InputError, match="leaves 1 of the 3 classes of moles"):
        without_classes(rows, Columns(), ["a", "b"], "binary")
    with pytest.raises(InputError, match="masks with the encoding class_id number all classes"):
        without_classes(rows, Columns(), ["b"], "class_id")
    lists = DatasetRows(Dataset.from_dict({"label": [[0]]}, Features({"label": List(ClassLabel(names=["a"]))})), "many")
    with pytest.raises(InputError, match="needs one class per image, and many has other labels"):
        without_classes(lists, Columns(), ["a"], "binary")
