import io
import re

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.classes import ClassMap
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.samplers import Sample
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.utils.errors import InputError


def rows(count: int, value: int) -> DatasetRows:
    noise = np.random.default_rng(value).integers(0, 255, (count, 48, 48, 3), np.uint8)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["a", "b"]), "mask": ImageFeature()})
    data = {
        "image": [Image.fromarray(image) for image in noise],
        "label": [value] * count,
        "mask": [Image.new("L", (48, 48 if i else 40), 1) for i in range(count)],
    }
    return DatasetRows(Dataset.from_dict(data, features), f"set {value}")


@pytest.fixture
def make_dataset(make_processor):
    examples = ExampleTransform(
        make_processor(), augmentation=AugmentationSettings(), classes=ClassMap.own("ab"), mask_column=None
    )
    masked = ExampleTransform(make_processor(), augmentation=AugmentationSettings(), classes=ClassMap.own("ab"))
    return lambda **settings: ExampleDataset([(rows(5, 0), examples), (rows(3, 1), masked)], seed=3, **settings)


def test_an_example_depends_on_its_position_only(make_dataset):
    sample = Sample(2, 7, 4)
    state = torch.random.get_rng_state()
    first = make_dataset()[sample]
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    for other, same in ((sample, True), (Sample(3, 7, 4), False), (Sample(2, 8, 4), False)):
        assert torch.equal(make_dataset()[other]["pixel_values"], first["pixel_values"]) == same


def test_rows_are_numbered_over_both_sources_and_padding_samples_have_no_label(make_dataset):
    both = make_dataset()
    assert [both[Sample(0, 0, i)]["labels"] for i in (0, 4, 6, 7, -1)] == [0, 0, 1, 1, -100]
    assert len(both[Sample(0, 0, 6)]["explain_labels"]) == 1
    with pytest.raises(IndexError):
        both[Sample(0, 0, 8)]


@pytest.mark.parametrize(("rate", "length"), [(0.0, 5), (0.5, 10)])
def test_the_batches_of_an_epoch(make_dataset, rate, length):
    batches = [batch for rank in range(2) for batch in make_dataset().batches(2, rank, 2, second_rate=rate)]
    samples = [sample for batch in batches for sample in batch]
    assert sum(sample.index >= 0 for sample in samples) == length
    plain = [sample.index for batch in make_dataset().batches(2, shuffle=False) for sample in batch]
    assert plain == [0, 1, 2, 3, 4]


class OneRow:
    """A source whose only row is the one given."""

    name, features, blocks = "set", {}, None

    def __init__(self, row: dict):
        self.row = row

    def __len__(self):
        return 1

    def __getitem__(self, index: int) -> dict:
        return self.row

    def place(self, index: int) -> str:
        return f"set, row {index}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": b"no image"}, "cannot identify image file"),
        ({"image": "cut off"}, "truncated"),
        ({"image": {"bytes": None, "path": "/nowhere/a.jpg"}}, "there is no image file"),
        ({"image": None}, "its column 'image' is empty"),
        ({"mask": Image.new("L", (48, 40))}, r"a mask must be of its image's size"),
        ({"mask": b"no image"}, "cannot identify image file"),
        ({"mask": np.full((48, 48), 4)}, r"the mask's class must lie in 0 \.\.\. 1, got 3"),
        ({"label": 2}, r"the label must lie in 0 \.\.\. 1, got 2"),
        ({"label": -1}, r"the label must lie in 0 \.\.\. 1, got -1"),
        ({"label": None}, "must be the index of a class, got None"),
    ],
)
def test_a_bad_row_is_named_or_skipped(make_processor, change, message):
    picture = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save(picture, "jpeg")
    if change.get("image") == "cut off":
        change = {"image": picture.getvalue()[:-500]}
    row = {"image": picture.getvalue(), "label": 1, "mask": Image.new("L", (48, 48), 1)} | change
    source = (
        OneRow(row),
        ExampleTransform(make_processor(), "class_id", augmentation=AugmentationSettings(), classes=ClassMap.own("ab")),
    )
    with pytest.raises(ValueError, match=rf"set, row 0( \(a.jpg\))?: .*{message}.*--on_bad_sample skip"):
        ExampleDataset([source])[Sample(0, 0, 0)]
    skipped = ExampleDataset([source], on_bad_sample="skip")[Sample(0, 0, 0)]
    assert skipped["labels"] == -100
    assert re.match(rf"set, row 0( \(a.jpg\))?: .*{message}", skipped["bad_sample"])


def test_an_image_larger_than_the_limit_is_a_bad_row(make_processor, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    picture = io.BytesIO()
    Image.new("RGB", (48, 48)).save(picture, "png")
    source = (OneRow({"image": picture.getvalue(), "label": 1}), ExampleTransform(make_processor(), mask_column=None))
    with pytest.raises(ValueError, match=r"set, row 0: .*Image size .* exceeds limit"):
        ExampleDataset([source])[Sample(0, 0, 0)]
    assert "bad_sample" in ExampleDataset([source], on_bad_sample="skip")[Sample(0, 0, 0)]


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_row_without_a_column_names_it(make_processor, column):
    """As in a stream of which one shard lacks the column."""
    row = {"image": Image.new("RGB", (48, 48)), "label": 1, "file": "a.jpg"}
    del row[column]
    source = (OneRow(row), ExampleTransform(make_processor(), classes=ClassMap.own("ab")))
    with pytest.raises(InputError, match=rf"set, row 0: it has no column '{column}'; its columns are .*file"):
        ExampleDataset([source])[Sample(0, 0, 0)]
    skipped = ExampleDataset([source], on_bad_sample="skip")[Sample(0, 0, 0)]
    assert f"no column '{column}'" in skipped["bad_sample"]


def test_a_row_without_the_mask_column_has_no_mask(make_processor):
    source = (OneRow({"image": Image.new("RGB", (48, 48)), "label": 1}), ExampleTransform(make_processor()))
    assert len(ExampleDataset([source])[Sample(0, 0, 0)]["explain_labels"]) == 0


@pytest.mark.parametrize(
    ("value", "encoding", "message"),
    [
        (Image.new("L", (48, 48)), "box", r"a box \(--mask_encoding box\) must be \[x0, y0, x1, y1\]"),
        (Image.new("L", (48, 48)), "polygon", r"polygons \(--mask_encoding polygon\) must be a list"),
        ([1.0, 2.0, 3.0, 4.0], "binary", r"a mask must be of its image's size .*\(binary encoding\)"),
    ],
)
def test_a_mask_of_another_encoding_is_told_in_one_line(make_processor, value, encoding, message):
    row = {"image": Image.new("RGB", (48, 48)), "label": 1, "mask": value}
    source = (OneRow(row), ExampleTransform(make_processor(), encoding))
    with pytest.raises(InputError, match=message) as error:
        ExampleDataset([source])[Sample(0, 0, 0)]
    assert len(str(error.value)) < 300
