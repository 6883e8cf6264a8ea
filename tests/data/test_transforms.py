from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.classes import ClassMap, match_classes
from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.transforms import ExampleTransform


@pytest.fixture
def processor():
    return PMViTImageProcessor(
        size={"height": 32, "width": 48}, patch_size=8, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )


def painted_rows(count: int, with_mask=lambda i: True) -> list[dict]:
    """Images whose red channel is the mask of class 1 and whose blue channel that of class 2."""
    rows = []
    rng = np.random.default_rng(0)
    for i in range(count):
        ids = np.zeros((64, 96), np.uint8)
        y, x = rng.integers(0, 40), rng.integers(0, 30)
        ids[y : y + 24, x : x + 16] = 2
        ids[10:50, 60:90] = 3
        image = np.zeros((64, 96, 3), np.uint8)
        image[..., 0], image[..., 2] = 255 * (ids == 2), 255 * (ids == 3)
        mask = Image.fromarray(ids) if with_mask(i) else None
        rows.append({"image": Image.fromarray(image), "label": 1, "mask": mask})
    return rows


AUGMENTATIONS = {
    "none": None,
    "crops": AugmentationSettings(min_crop_scale=0.3, colour_jitter=0),
    "RandAugment": AugmentationSettings(min_crop_scale=0.3, colour_jitter=0, rand_augment=9),
}


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_image_and_masks_are_transformed_together(processor, augmentation, monkeypatch):
    """A painted mask can be read from the pixels again as long as the colours stay."""
    monkeypatch.setattr("modeling_pm_vit.data.augmentation.single.transform_colours", lambda image, *_: image)
    examples = partial(ExampleTransform(processor, "class_id", augmentation), rng=np.random.default_rng(0))
    for row in painted_rows(24):
        out = examples(row)
        assert out["pixel_values"].shape == (3, 32, 48)
        assert out["explain_labels"].tolist() == [1, 2]
        painted = torch.nn.functional.avg_pool2d(out["pixel_values"][[0, 2]], 8)  # red and blue, per patch
        assert (painted - out["mask_labels"]).abs().max() < 0.01


def test_a_crop_that_loses_the_object_gives_an_empty_mask_not_an_unknown_one(processor):
    ids = np.zeros((64, 96), np.uint8)
    ids[0, 0] = 2
    row = {"image": Image.new("RGB", (96, 64)), "label": 1, "mask": Image.fromarray(ids)}
    settings = AugmentationSettings(min_crop_scale=0.1)
    examples = partial(ExampleTransform(processor, "class_id", settings), rng=np.random.default_rng(0))
    masks = [examples(row)["mask_labels"] for _ in range(20)]
    assert all(mask.shape == (1, 4, 6) and mask.min() >= 0 for mask in masks)
    assert min(mask.max() for mask in masks) == 0


def test_a_batch_may_have_images_with_several_one_and_no_masks(processor):
    rows = painted_rows(3, with_mask=lambda i: i != 1)
    batch = Collator()([ExampleTransform(processor, "class_id")(row) for row in rows])
    assert batch["mask_labels"].shape == (3, 2, 4, 6)
    assert batch["explain_labels"].tolist() == [[1, 2], [1, -100], [1, 2]]
    assert (batch["mask_labels"][1] == -100).all()
    assert (batch["mask_labels"][[0, 2]] >= 0).all()


def test_the_first_slot_is_the_images_own_class():
    example = {
        "pixel_values": torch.zeros(3, 8, 8),
        "labels": 4,
        "mask_labels": torch.stack([torch.full((1, 1), 0.25), torch.full((1, 1), 0.75)]),
        "explain_labels": torch.tensor([2, 4]),
    }
    batch = Collator()([example])
    assert batch["explain_labels"].tolist() == [[4, 2]]
    assert batch["mask_labels"].flatten().tolist() == [0.75, 0.25]


@pytest.mark.parametrize("augment", [False, True])
def test_patches_that_are_unknown_in_the_mask_stay_unknown(processor, augment):
    ids = np.zeros((64, 96), np.uint16)
    ids[:32] = 65535
    ids[32:, :48] = 2
    row = {"image": Image.new("RGB", (96, 64)), "label": 1, "mask": ids}
    out = ExampleTransform(processor, "class_id", AugmentationSettings(min_crop_scale=1.0) if augment else None)(row)
    assert out["explain_labels"].tolist() == [1]
    masks = out["mask_labels"][0]
    assert (masks == -100).any()
    assert ((masks == -100) | ((masks >= 0) & (masks <= 1))).all()
    if not augment:
        assert (masks[:2] == -100).all()
        assert (masks[2:] - torch.tensor([1.0] * 3 + [0.0] * 3)).abs().max() < 0.05


def test_columns_by_name_and_no_masks_at_all(processor):
    examples = ExampleTransform(processor, image_column="photo", label_column="species", mask_column=None)
    out = examples({"photo": painted_rows(1)[0]["image"], "species": 1})
    assert len(out["mask_labels"]) == 0
    assert out["labels"] == 1


def test_images_and_masks_may_be_encoded(processor, tmp_path):
    row = painted_rows(1)[0]
    row["image"].save(tmp_path / "image.png")
    row["mask"].save(tmp_path / "mask.png")
    examples = ExampleTransform(processor, "class_id")
    expected = examples(row)
    encoded = [
        {"image": {"bytes": None, "path": str(tmp_path / "image.png")}, "mask": tmp_path / "mask.png"},
        {
            "image": (tmp_path / "image.png").read_bytes(),
            "mask": {"bytes": (tmp_path / "mask.png").read_bytes(), "path": ""},
        },
    ]
    for columns in encoded:
        out = examples({"label": 1} | columns)
        assert torch.equal(out["pixel_values"], expected["pixel_values"])
        assert torch.equal(out["mask_labels"], expected["mask_labels"])
    assert len(examples(row | {"mask": {"bytes": None, "path": None}})["explain_labels"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 3}, r"the label must lie in 0 \.\.\. 2, got 3"),
        ({"label": None}, "must be the index of a class, got None"),
        ({"mask": np.full((64, 96), 9)}, r"the mask's class must lie in 0 \.\.\. 2, got 8"),
        ({"mask": Image.new("L", (64, 96))}, r"size \(height, width\) = \(64, 96\), got \(96, 64\)"),
        ({"image": b"no image"}, "cannot identify"),
    ],
)
def test_errors_of_bad_rows_say_what_is_wrong(processor, change, message):
    with pytest.raises((ValueError, OSError), match=message):
        ExampleTransform(processor, "class_id", classes=ClassMap.own("abc"))(painted_rows(1)[0] | change)


def test_classes_of_another_dataset_are_matched_by_name(processor):
    classes = match_classes(["owl", "tit", "wren"], ["wren", "tit", "jay", "owl"], "birds")
    out = ExampleTransform(processor, "class_id", classes=classes)(painted_rows(1)[0])
    assert out["labels"] == 1
    assert out["explain_labels"].tolist() == [1, 0]
