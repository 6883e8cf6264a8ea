import json
from itertools import pairwise

import numpy as np
import pytest
from datasets import ClassLabel, Dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit.data.decoding import decode_value
from modeling_pm_vit.data.rows import MaskSubset, RowsWithMasks
from modeling_pm_vit.data.sources import load_split, open_rows
from modeling_pm_vit.data.synthetic import synthetic_dataset


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
    rows = MaskSubset(Counted(length), "mask", fraction)
    kept = [row["mask"] is not None for row in (rows[index] for index in range(length))]
    assert abs(sum(kept) - fraction * length) < 1
    assert rows.rows_with("mask").tolist() == [index for index in range(length) if kept[index]]
    assert rows.rows_with("label").tolist() == list(range(length))
    assert all(rows[index]["label"] == index for index in range(length))
    if 0 < fraction <= 0.5:  # evenly: never two neighbours
        assert not any(a and b for a, b in pairwise(kept))


class Counted:
    """Rows with a mask and their own number as label."""

    name, blocks, features = "counted", None, {}

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {"label": index, "mask": b""}

    def rows_with(self, column):
        return np.arange(self.length)


@given(length=st.integers(1, 60), fraction=st.floats(0, 1))
def test_only_rows_with_a_mask(length, fraction):
    few = MaskSubset(Counted(length), "mask", fraction)
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
        MaskSubset(Counted(3), "mask", fraction)


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
