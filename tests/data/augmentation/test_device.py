from dataclasses import replace

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
from modeling_pm_vit.weak_loss_pm_vit import POSSIBLE

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


def batches(make_processor, mixing, several=False, augmentation=SETTINGS, weak=False) -> tuple[dict, dict]:
    """The same batch, of a CPU and of the batched augmentation."""
    vectors = LabelVectors("list", ClassMap.own("abc"), 3) if several else None
    processor, samples = make_processor(), [*(Sample(2, i, i) for i in range(6)), Sample(2, 6, -1)]
    made = []
    for on_device in (False, True):
        transform = ExampleTransform(processor, "class_id", augmentation, ClassMap.own("abc"), vectors, weak)
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
@pytest.mark.parametrize(("several", "weak"), [(False, False), (True, False), (False, True)])
def test_a_batch_is_finished_on_the_device_as_its_examples_are_one_by_one(make_processor, mixing, several, weak):
    one_by_one, on_device = batches(make_processor, mixing, several, weak=weak)
    assert one_by_one.keys() == on_device.keys()
    for name, value in one_by_one.items():
        assert on_device[name].shape == value.shape
        assert on_device[name].dtype == value.dtype
        if name not in ("pixel_values", "mask_labels"):
            assert torch.equal(on_device[name], value)
    assert (one_by_one["mask_labels"] == -100).any()
    assert ((one_by_one["mask_labels"] >= -1) & (one_by_one["mask_labels"] < 0)).any() == weak
    assert torch.equal(one_by_one["mask_labels"] == -100, on_device["mask_labels"] == -100)
    assert (one_by_one["mask_labels"] - on_device["mask_labels"]).abs().max() < 0.01
    # One level of 255 is 0.017 after the normalisation.
    assert (one_by_one["pixel_values"] - on_device["pixel_values"]).abs().mean() < 0.02


@pytest.mark.parametrize("mixing", MIXING.values(), ids=MIXING)
def test_finishing_a_batch_does_not_wait_for_the_device(make_processor, gpu, mixing):
    transform = ExampleTransform(make_processor(), "class_id", SETTINGS, ClassMap.own("abc"))
    transform.on_device = True
    dataset = ExampleDataset([(Photographs(), transform)], seed=5)
    batch = Collator(dataset.grid, mixing)([dataset[Sample(2, i, i)] for i in range(6)])
    with gpu.watched():
        finished = DeviceAugmentation(make_processor())(gpu.tensors(batch))
    assert finished["pixel_values"].device.type == finished["mask_labels"].device.type == "cuda"


def test_erased_pixels_have_the_mean_colour_and_no_class(make_processor):
    settings = AugmentationSettings(min_crop_scale=1.0, colour_jitter=0, random_erasing=1.0)
    for batch in batches(make_processor, MixingSettings(), augmentation=settings):
        erased = (batch["pixel_values"] == 0).all(1)
        assert erased[:6].any((1, 2)).all()
        whole = torch.nn.functional.avg_pool2d(erased.float(), 8) == 1
        masks = batch["mask_labels"][:, 0]
        assert set(masks[whole].unique().tolist()) <= {0.0, -100.0}


def test_an_image_without_a_mask_may_show_its_class_where_it_is_not_erased(make_processor):
    settings = AugmentationSettings(min_crop_scale=1.0, random_erasing=1.0)
    for batch in batches(make_processor, MixingSettings(), augmentation=settings, weak=True):
        assert batch["explain_labels"][2].tolist() == [2, -100]
        gone = torch.nn.functional.avg_pool2d((batch["pixel_values"][2] == 0).all(0).float()[None], 8)[0] == 1
        assert torch.equal(batch["mask_labels"][2, 0], torch.where(gone, 0.0, float(POSSIBLE)))
        assert not (batch["mask_labels"][[0, 1, 3, 4, 5]] == POSSIBLE).any()  # they have masks


def test_a_teacher_sees_the_student_s_crop_in_its_own_colours_and_its_masks_are_mixed(make_processor):
    seen, batches = [], []
    taught = torch.zeros(1, 4, 4)
    taught[:, :, 2:] = 1

    def teacher(pixel_values, classes):
        seen.append((pixel_values, classes))
        return taught

    changes = (("invert", 0.0), ("rotate", 20.0)), (("rotate", 20.0),)
    for operations, jitter in zip(changes, (0.9, 0.0), strict=True):
        augmentation = AugmentationSettings(min_crop_scale=0.3, colour_jitter=jitter)
        transform = ExampleTransform(make_processor(), "class_id", augmentation, ClassMap.own("abc"), weak=True)
        transform.on_device = True
        dataset = ExampleDataset([(Photographs(), transform)], seed=5)
        examples = [dataset[Sample(2, i, i)] for i in range(6)]
        for example in examples:
            example["augmentation"] = replace(example["augmentation"], operations=operations)
        finish = DeviceAugmentation(make_processor())
        finish.teacher = teacher
        batches.append(finish(Collator(dataset.grid, MixingSettings(mosaics=1.0))(examples)))
    coloured, plain = batches
    (pixels, classes), _ = seen
    assert classes.tolist() == [2]
    assert torch.equal(pixels[0], plain["pixel_values"][2])
    assert not torch.equal(pixels[0], coloured["pixel_values"][2])
    assert torch.equal(coloured["mask_labels"][2, 0], taught[0])
    mosaics = coloured["mask_labels"][6:]
    assert (mosaics == 1).any()
    assert not (mosaics == POSSIBLE).any()
