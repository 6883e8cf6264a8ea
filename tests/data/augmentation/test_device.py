import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.data.augmentation.device import DeviceAugmentation
from modeling_pm_vit.data.augmentation.mixing import MixingSettings
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.classes import ClassMap
from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.multi_label import LabelVectors
from modeling_pm_vit.data.samplers import Sample
from modeling_pm_vit.data.transforms import ExampleTransform

UNKNOWN = 65535
SETTINGS = AugmentationSettings(min_crop_scale=0.3, rand_augment=9, random_erasing=0.5)


class Photographs:
    """Smooth images of several sizes: with a mask, with several and unknown pixels, and without."""

    name, features, blocks = "photographs", {}, None

    def __init__(self, several: bool = False):
        rng = np.random.default_rng(0)
        self.rows = []
        for number, (height, width) in enumerate([(64, 96), (50, 40), (81, 81), (33, 70), (64, 64), (90, 41)]):
            coarse = Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8))
            ids = np.zeros((height, width), np.uint16)
            ids[: height // 2, : width // 2] = number % 3 + 1
            if number % 2:
                ids[height // 2 :, width // 2 :] = (number + 1) % 3 + 1
                ids[: height // 4, width // 2 :] = UNKNOWN
            labels = sorted({number % 3, (number + 1) % 3}) if several else number % 3
            row = {"image": coarse.resize((width, height), Image.Resampling.BICUBIC), "label": labels}
            self.rows.append(row | {"mask": ids if number != 2 else None})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]

    def place(self, index: int) -> str:
        return f"row {index}"


def batches(make_processor, mixing, several=False, augmentation=SETTINGS) -> tuple[dict, dict]:
    """The same batch, of a CPU and of the batched augmentation."""
    vectors = LabelVectors("list", ClassMap.own("abc"), 3) if several else None
    processor, samples = make_processor(), [*(Sample(2, i, i) for i in range(6)), Sample(2, 6, -1)]
    made = []
    for on_device in (False, True):
        transform = ExampleTransform(processor, "class_id", augmentation, ClassMap.own("abc"), vectors)
        transform.on_device = on_device
        dataset = ExampleDataset([(Photographs(several), transform)], seed=5)
        batch = Collator(dataset.grid, mixing)([dataset[sample] for sample in samples])
        made.append(DeviceAugmentation(processor)(batch) if on_device else batch)
    return made[0], made[1]


MIXING = {
    "plain": MixingSettings(),
    "mosaics": MixingSettings(mosaics=1.0),
    "MixUp": MixingSettings(mixup=0.5),
    "CutMix": MixingSettings(cutmix=1.0, mosaics=0.5),
}


@pytest.mark.parametrize("mixing", MIXING.values(), ids=MIXING)
@pytest.mark.parametrize("several", [False, True])
def test_a_batch_is_finished_on_the_device_as_its_examples_are_one_by_one(make_processor, mixing, several):
    one_by_one, on_device = batches(make_processor, mixing, several)
    assert one_by_one.keys() == on_device.keys()
    for name, value in one_by_one.items():
        assert on_device[name].shape == value.shape
        assert on_device[name].dtype == value.dtype
        if name not in ("pixel_values", "mask_labels"):
            assert torch.equal(on_device[name], value)
    assert (one_by_one["mask_labels"] == -100).any()
    assert torch.equal(one_by_one["mask_labels"] == -100, on_device["mask_labels"] == -100)
    assert (one_by_one["mask_labels"] - on_device["mask_labels"]).abs().max() < 0.01
    # One level of 255 is 0.017 after the normalisation.
    assert (one_by_one["pixel_values"] - on_device["pixel_values"]).abs().mean() < 0.02


def test_erased_pixels_have_the_mean_colour_and_no_class(make_processor):
    settings = AugmentationSettings(min_crop_scale=1.0, colour_jitter=0, random_erasing=1.0)
    for batch in batches(make_processor, MixingSettings(), augmentation=settings):
        erased = (batch["pixel_values"] == 0).all(1)
        assert erased[:6].any((1, 2)).all()
        whole = torch.nn.functional.avg_pool2d(erased.float(), 8) == 1
        masks = batch["mask_labels"][:, 0]
        assert set(masks[whole].unique().tolist()) <= {0.0, -100.0}
