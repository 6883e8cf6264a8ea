import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.data.classes import ClassMap, match_classes
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.masks import MaskFormat
from modeling_pm_vit.data.overview import class_overview, mask_overview
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.utils.errors import InputError

NAMES = ["jay", "owl", "tit"]


def birds(labels: list[int | None], masks: list[np.ndarray | None], names=NAMES) -> DatasetRows:
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=names), "mask": ImageFeature()})
    columns = {
        "image": [Image.new("RGB", (6, 4))] * len(labels),
        "label": labels,
        "mask": [None if mask is None else Image.fromarray(mask) for mask in masks],
    }
    return DatasetRows(Dataset.from_dict(columns, features), "birds (train)")


def filled(value: int) -> np.ndarray:
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 1:4] = value
    return mask


def overview_of(rows, names=NAMES) -> str:
    return class_overview(rows, Columns(), ClassMap.own(names), names)


def test_images_and_masks_of_each_class_are_counted():
    told = overview_of(birds([0, 2, 0, None], [filled(1), None, None, None]))
    assert told.splitlines() == [
        "| class | images | masks |",
        "|-------|--------|-------|",
        "| jay   | 2      | 1     |",
        "| owl   | 0      | 0     |",
        "| tit   | 1      | 0     |",
        "without an image in birds (train): owl",
        "1 images of birds (train) have no label",
    ]


def test_many_classes_are_told_by_their_range_and_the_empty_ones():
    names = [f"n{i:02}" for i in range(40)]
    told = overview_of(birds([*range(28), 0, 0], [filled(1)] + [None] * 29, names), names)
    listed = ", ".join(names[28:38])
    assert told.splitlines() == [
        "40 classes, of each images: 0 to 3, median 1; masks: 0 to 1, median 0",
        f"without an image in birds (train): {listed} and 2 more",
    ]


def test_classes_have_the_names_and_the_order_of_those_to_train():
    classes = match_classes(["0", "1"], ["jay", "owl", "tit"], "birds")
    told = class_overview(birds([0, 1, 1], [None] * 3, ["0", "1"]), Columns(mask=None), classes, NAMES)
    assert told.splitlines()[2:] == [
        "| jay   | 1      |",
        "| owl   | 2      |",
        "| tit   | 0      |",
        "without an image in birds (train): tit",
    ]


def test_a_file_that_is_listed_with_two_labels_is_named(tmp_path):
    for name in "ab":
        Image.new("RGB", (6, 4)).save(tmp_path / f"{name}.png")
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=NAMES)})
    files = [str(tmp_path / f"{name}.png") for name in "abab"]
    rows = DatasetRows(Dataset.from_dict({"image": files, "label": [0, 1, 2, 1]}, features), "birds (train)")
    told = overview_of(rows).splitlines()
    assert told[-1] == "files of birds (train) that are listed more than once, with other classes: a.png"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_stream_is_counted_without_reading_images(tmp_path, streaming, monkeypatch):
    rows = birds([0, 2, 0], [filled(1), None, filled(255)])
    rows.dataset.to_parquet(tmp_path / "train.parquet")
    stream = open_rows(str(tmp_path), "train", streaming=streaming)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_: pytest.fail("a row was read"))
    assert "| jay   | 2      | 2     |" in overview_of(stream)


def notes(masks: list[np.ndarray | None], form: MaskFormat, labels: list[int] | None = None, **settings) -> list[str]:
    rows = birds(labels or [0] * len(masks), masks)
    return mask_overview(rows, Columns(), form, ClassMap.own(NAMES), **settings)


def test_the_values_of_masks_are_told():
    assert notes([filled(255), None, filled(255)], MaskFormat()) == ["masks (binary): values 0, 255 (2 of 2 looked at)"]
    assert notes([filled(1)] * 40, MaskFormat("class_id"))[0] == "masks (class_id): values 0, 1 (16 of 40 looked at)"
    assert notes([None], MaskFormat()) == []
    grey = np.repeat(np.linspace(0, 255, 24).astype(np.uint8)[None], 4, 0)
    grey = np.concatenate([np.zeros((4, 60), np.uint8), grey, np.full((4, 60), 255, np.uint8)], 1)
    first, second = notes([grey], MaskFormat())
    assert first == "masks (binary): 24 values from 0 to 255 (1 of 1 looked at)"
    assert second.startswith("1 of 1 masks have grey levels") and "128 or more" in second


def test_masks_of_another_class_than_their_images_are_counted():
    told = notes([filled(1), filled(1), filled(0)], MaskFormat("class_id"), [0, 2, 2])
    assert told[1].startswith("1 of 3 masks do not show the class of their image: do their numbers count the 3 classes")


def test_a_mask_that_cannot_be_used_is_named_or_told():
    trimap = filled(1) + 1
    with pytest.raises(InputError, match=r"birds \(train\), row 1: a binary mask has one value besides 0, found 1"):
        notes([filled(1), trimap], MaskFormat())
    told = notes([filled(1), trimap], MaskFormat(), skip=True)
    assert told[1].startswith("birds (train), row 1: a binary mask")
