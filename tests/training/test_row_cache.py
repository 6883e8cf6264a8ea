"""Whether decoded rows are kept, and what the user is told."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.samplers import Sample
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.training import row_cache
from modeling_pm_vit.training.row_cache import cache_rows


class Rows:
    """Rows that count how often each is read; the second cannot be decoded."""

    name, features, blocks = "rows", {}, None

    def __init__(self):
        self.read = []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict:
        self.read.append(index)
        image = b"no image" if index == 1 else Image.fromarray(np.full((64, 64, 3), index, np.uint8))
        return {"image": image, "label": 0}

    def place(self, index: int) -> str:
        return f"rows, row {index}"


@pytest.fixture
def dataset(make_processor):
    transform = ExampleTransform(make_processor(), augmentation=AugmentationSettings(), mask_column=None)
    return ExampleDataset([(Rows(), transform)], on_bad_sample="skip")


ARGUMENTS = SimpleNamespace(dataloader_num_workers=0)
ROW = 64 * 64 * 3


@pytest.mark.parametrize(
    ("choice", "free", "kept", "told"),
    [
        ("auto", 100 * ROW, 6, "about 1 MiB (--cache_images)"),
        ("auto", 10 * ROW, 0, None),  # the rows would take more than a quarter
        ("always", 4 * ROW, 2, "are kept"),
        ("never", 100 * ROW, 0, None),
    ],
)
def test_rows_are_kept_if_there_is_memory_for_them(dataset, monkeypatch, choice, free, kept, told):
    monkeypatch.setattr(row_cache, "free_memory", lambda: free)
    lines = cache_rows(dataset, choice, ARGUMENTS)
    assert len(lines) == bool(told)
    assert not told or told in lines[0]
    rows = dataset.sources[0][0]
    rows.read.clear()
    for epoch in range(3):
        for index in range(6):
            dataset[Sample(epoch, index, index)]
    again = {index for index in range(6) if rows.read.count(index) == 3}
    assert again == ({1} if kept == 6 else set(range(6)) if not kept else again)  # what cannot be decoded is not kept
    assert len(again) == (1 if kept == 6 else 6 - kept)


def test_kept_rows_give_the_same_examples(dataset, make_processor, monkeypatch):
    transform = ExampleTransform(make_processor(), augmentation=AugmentationSettings(), mask_column=None)
    plain = ExampleDataset([(Rows(), transform)], on_bad_sample="skip")
    monkeypatch.setattr(row_cache, "free_memory", lambda: 100 * ROW)
    cache_rows(dataset, "auto", ARGUMENTS)
    for epoch in range(2):
        for index in (0, 3, 5):
            sample = Sample(epoch, index, index)
            assert (dataset[sample]["pixel_values"] == plain[sample]["pixel_values"]).all()
