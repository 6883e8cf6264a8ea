import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.data.classes import ClassMap
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.masks import MaskFormat
from modeling_pm_vit.data.overview import mask_overview
from modeling_pm_vit.data.rows import DatasetRows
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
