import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.transforms import Examples


@pytest.fixture(autouse=True)
def _colours_stay(monkeypatch):
    """So that a painted mask can be read from the pixels again."""
    monkeypatch.setattr("torchvision.transforms.v2.ColorJitter.forward", lambda self, image: image)


@pytest.fixture
def processor():
    return PMViTImageProcessor(
        size={"height": 32, "width": 48}, patch_size=8, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )


def painted_rows(count: int, with_mask=lambda i: True) -> dict[str, list]:
    """Images whose red channel is the mask of class 1 and whose blue channel that of class 2."""
    rows = {"image": [], "label": [], "mask": []}
    rng = np.random.default_rng(0)
    for i in range(count):
        ids = np.zeros((64, 96), np.uint8)
        y, x = rng.integers(0, 40), rng.integers(0, 30)
        ids[y : y + 24, x : x + 16] = 2
        ids[10:50, 60:90] = 3
        image = np.zeros((64, 96, 3), np.uint8)
        image[..., 0], image[..., 2] = 255 * (ids == 2), 255 * (ids == 3)
        rows["image"].append(Image.fromarray(image))
        rows["label"].append(1)
        rows["mask"].append(Image.fromarray(ids) if with_mask(i) else None)
    return rows


@pytest.mark.parametrize("augment", [False, True])
def test_image_and_masks_move_together(processor, augment):
    torch.manual_seed(0)
    out = Examples(processor, "class_id", augment, min_scale=0.3)(painted_rows(12))
    for pixels, masks, classes in zip(out["pixel_values"], out["mask_labels"], out["explain_labels"], strict=True):
        assert pixels.shape == (3, 32, 48)
        assert classes.tolist() == [1, 2]
        painted = torch.nn.functional.avg_pool2d(pixels[[0, 2]], 8)  # red and blue, per patch
        assert (painted - masks).abs().max() < 0.01


def test_a_crop_that_loses_the_object_gives_an_empty_mask_not_an_unknown_one(processor):
    ids = np.zeros((64, 96), np.uint8)
    ids[0, 0] = 2
    rows = {"image": [Image.new("RGB", (96, 64))] * 20, "label": [1] * 20, "mask": [Image.fromarray(ids)] * 20}
    torch.manual_seed(0)
    masks = Examples(processor, "class_id", True, min_scale=0.1)(rows)["mask_labels"]
    assert all(mask.shape == (1, 4, 6) and mask.min() >= 0 for mask in masks)
    assert min(mask.max() for mask in masks) == 0


def test_batches_mix_images_with_several_one_and_no_masks(processor):
    rows = painted_rows(3, with_mask=lambda i: i != 1)
    out = Examples(processor, "class_id")(rows)
    batch = Collator()([{key: values[i] for key, values in out.items()} for i in range(3)])
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


def test_columns_by_name_and_no_masks_at_all(processor):
    rows = painted_rows(2)
    rows = {"photo": rows["image"], "species": rows["label"]}
    examples = Examples(processor, image_column="photo", label_column="species", mask_column=None)
    out = examples(rows)
    assert [len(mask) for mask in out["mask_labels"]] == [0, 0]
    assert out["labels"] == [1, 1]
