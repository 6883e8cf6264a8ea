import pytest
import torch

from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.mixing import cutmix, mixup, random_box


def example(label: int, value: float, masked: bool = True, open_patch: bool = False) -> dict:
    """A plain image of one value, its class in the upper half."""
    mask = torch.zeros(1 if masked else 0, 4, 4)
    mask[:, :2] = 1
    if open_patch:
        mask[:, 0, 0] = -100
    return {
        "pixel_values": torch.full((3, 16, 16), value),
        "labels": label,
        "mask_labels": mask,
        "explain_labels": torch.tensor([label] if masked else [], dtype=torch.long),
    }


def test_mixup_weights_masks_like_pixels():
    out = mixup(example(4, 1.0), example(2, 0.0), 0.75)
    assert out["pixel_values"].unique().tolist() == [0.75]
    assert (out["labels"], out["other_labels"], out["label_shares"]) == (4, 2, 0.75)
    assert out["explain_labels"].tolist() == [2, 4]
    assert out["mask_labels"][:, 0, 0].tolist() == [0.25, 0.75]
    assert (out["mask_labels"][:, 2:] == 0).all()


@pytest.mark.parametrize("masked", [(True, False), (False, True), (False, False)])
def test_mixup_with_an_image_without_a_mask_has_no_mask(masked):
    out = mixup(example(4, 1.0, masked[0]), example(2, 0.0, masked[1]), 0.5)
    assert out["mask_labels"].shape == (0, 4, 4)
    assert len(out["explain_labels"]) == 0


def test_cutmix_takes_pixels_and_masks_from_the_same_box():
    out = cutmix(example(4, 1.0), example(2, 0.0), (1, 2, 3, 4))
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[1:3, 2:4] = True
    assert torch.equal(out["pixel_values"][0, ::4, ::4] == 0, inside)
    upper = torch.zeros(4, 4, dtype=torch.bool)
    upper[:2] = True
    assert out["explain_labels"].tolist() == [2, 4]
    assert torch.equal(out["mask_labels"], torch.stack([inside & upper, ~inside & upper]).float())
    assert out["label_shares"] == 0.75


@pytest.mark.parametrize(("masked", "unknown_inside"), [((True, False), True), ((False, True), False)])
def test_cutmix_marks_the_part_of_an_image_without_a_mask_as_unknown(masked, unknown_inside):
    out = cutmix(example(4, 1.0, masked[0]), example(2, 0.0, masked[1]), (0, 0, 2, 2))
    unknown = torch.zeros(4, 4, dtype=torch.bool)
    unknown[:2, :2] = True
    assert out["explain_labels"].tolist() == [2, 4]  # each is known to be absent from the other image's part
    for plane in out["mask_labels"]:
        assert torch.equal(plane == -100, unknown if unknown_inside else ~unknown)


def test_images_of_one_class_share_a_mask_and_unknown_patches_stay_unknown():
    out = cutmix(example(4, 1.0, open_patch=True), example(4, 0.0), (1, 1, 2, 2))
    assert out["explain_labels"].tolist() == [4]
    assert out["mask_labels"][0, 0].tolist() == [-100, 1, 1, 1]
    assert out["mask_labels"][0, 1].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_a_random_box_has_about_the_requested_area(share):
    for _ in range(20):
        top, left, bottom, right = random_box(share, (14, 14))
        assert 0 <= top <= bottom <= 14
        assert 0 <= left <= right <= 14
        assert (bottom - top) * (right - left) / 196 == pytest.approx(1 - share, abs=0.07)


@pytest.mark.parametrize("alphas", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_a_batch_is_mixed_in_the_same_way_every_time(alphas):
    examples = [example(i, i / 4, i % 2 == 0) | {"seed": 11 + i} for i in range(4)]
    padding = example(0, 0.0, False) | {"labels": -100}
    collate = Collator(mosaics=0.5, **alphas)
    first, again = collate([*examples, padding]), collate([*examples, padding])
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert first["labels"].tolist() == [0, 1, 2, 3, -100, -100]  # padding, and a mosaic
    assert first["label_shares"][4:].tolist() == [1, 1]
    assert sorted(first["other_labels"][:4].tolist()) == [0, 1, 2, 3]
    other = collate([examples[0] | {"seed": 5}, *examples[1:], padding])
    assert not torch.equal(first["pixel_values"], other["pixel_values"])
    with pytest.raises(ValueError, match="at least 0"):
        Collator(**dict.fromkeys(alphas, -1))
