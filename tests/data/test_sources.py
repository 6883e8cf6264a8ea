import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset
from PIL import Image

from modeling_pm_vit.data.sources import load_split, open_rows
from modeling_pm_vit.data.transforms import opened


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
def test_masks_may_be_few_and_in_one_split_only(imagefolder, empty):
    for split in ("train", "test"):
        metadata = imagefolder / split / "metadata.jsonl"
        rows = [json.loads(line) | empty for line in metadata.read_text().splitlines()]
        if split == "train":
            Image.new("L", (8, 6), 1).save(imagefolder / split / "mask.png")
            rows[1]["mask_file_name"] = "mask.png"
        metadata.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, test = open_rows(str(imagefolder), "train"), open_rows(str(imagefolder), "test")
    assert [opened(train[i]["mask"]) is not None for i in range(3)] == [False, True, False]
    assert train.share_with("mask") == pytest.approx(1 / 3)
    assert [test[i].get("mask") for i in range(2)] == [None, None]
    assert train.features["label"] == test.features["label"]


def test_parquet_files_are_splits(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        data = Dataset.from_dict({"label": list(range(count))}).cast_column("label", ClassLabel(names=["a", "b", "c"]))
        data.to_parquet(str(tmp_path / f"{split}.parquet"))
    assert len(load_split(str(tmp_path), "train")) == 3
    assert len(load_split(str(tmp_path), "val", size=1)) == 1


def test_what_is_missing_is_named(imagefolder):
    with pytest.raises(ValueError, match=r"no split 'val'; it has .*train"):
        load_split(str(imagefolder), "val")
    with pytest.raises(ValueError, match=r"no column 'species'.*label"):
        load_split(str(imagefolder), "train", label_column="species")
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_split(str(imagefolder / "nowhere"), "train")
