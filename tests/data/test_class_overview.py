import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.data.class_overview import Part, class_overview, class_warnings
from modeling_pm_vit.data.classes import ClassMap, match_classes
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.sources import open_rows

NAMES = ["jay", "owl", "tit"]


def birds(labels: list[int | None], names=NAMES, masks: int = 0, name: str = "birds (train)") -> DatasetRows:
    """The first rows have masks."""
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=names), "mask": ImageFeature()})
    mask = Image.fromarray(np.ones((4, 6), np.uint8))
    columns = {
        "image": [Image.new("RGB", (6, 4))] * len(labels),
        "label": labels,
        "mask": [mask if row < masks else None for row in range(len(labels))],
    }
    return DatasetRows(Dataset.from_dict(columns, features), name)


def overview_of(rows, names=NAMES) -> str:
    return "\n".join(class_overview([Part("training", rows, Columns(), ClassMap.own(names))], names))


def test_images_and_masks_of_each_class_are_counted():
    told = overview_of(birds([0, 2, 0, None], masks=1))
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
    told = overview_of(birds([*range(28), 0, 0], names, masks=1), names)
    listed = ", ".join(names[28:38])
    assert told.splitlines() == [
        "40 classes, of each images: 0 to 3, median 1; masks: 0 to 1, median 0",
        f"without an image in birds (train): {listed} and 2 more",
    ]


def test_classes_have_the_names_and_the_order_of_those_to_train():
    classes = match_classes(["0", "1"], ["jay", "owl", "tit"], "birds")
    part = Part("training", birds([0, 1, 1], ["0", "1"]), Columns(mask=None), classes)
    assert "\n".join(class_overview([part], NAMES)).splitlines()[2:] == [
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
    rows = birds([0, 0, 2], masks=2)
    rows.dataset.to_parquet(tmp_path / "train.parquet")
    stream = open_rows(str(tmp_path), "train", streaming=streaming)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_: pytest.fail("a row was read"))
    assert "| jay   | 2      | 2     |" in overview_of(stream)


def test_training_and_evaluation_stand_side_by_side_with_warnings():
    own = ClassMap.own(NAMES)
    training = Part("training", birds([0] * 12 + [1] * 3, masks=5), Columns(), own)
    evaluation = Part("evaluation", birds([0] * 10 + [2, 2], name="birds (validation)"), Columns(mask=None), own)
    assert class_overview([training], NAMES, evaluation) == [
        "| class | training images | training masks | evaluation images |\n"
        "|-------|-----------------|----------------|-------------------|\n"
        "| jay   | 12              | 5              | 10                |\n"
        "| owl   | 3               | 0              | 0                 |\n"
        "| tit   | 0               | 0              | 2                 |",
        "warning: only evaluation images show tit (2): it cannot be learned.",
        "warning: only training images show owl (3): no result will tell of it.",
    ]


def test_classes_with_few_images_are_named():
    counts = np.array([10, 9, 0, 50]), np.array([9, 10, 0, 50])
    assert class_warnings(*counts, ["a", "b", "c", "d"]) == [
        "warning: no image shows c (0).",
        "warning: fewer than 10 training images show b (9).",
        "warning: fewer than 10 evaluation images show a (9): rough results.",
    ]
    assert class_warnings(np.full(4, 10), np.full(4, 10), ["a", "b", "c", "d"]) == []
