import pytest
import torch

from modeling_pm_vit.data.collation import Collator
from modeling_pm_vit.data.mosaic import mosaic
from modeling_pm_vit.utils.errors import InputError


def example(label: int, value: float, masked: bool = True, size=(16, 32), grid=(4, 8)) -> dict:
    """A plain image of one value, its class in the left half."""
    mask = torch.zeros(1 if masked else 0, *grid)
    mask[..., : grid[1] // 2] = 1
    classes = torch.tensor([label] if masked else [], dtype=torch.long)
    return {
        "pixel_values": torch.full((3, *size), value),
        "labels": label,
        "mask_labels": mask,
        "explain_labels": classes,
    }


def test_each_part_of_a_mosaic_has_its_own_mask():
    out = mosaic([example(5, 0.1), example(2, 0.2), example(7, 0.3), example(2, 0.4)])
    assert out["pixel_values"].shape == (3, 16, 32)
    quarters = out["pixel_values"][0, 4::8, 8::16]
    assert quarters.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert out["labels"] == -100
    assert out["explain_labels"].tolist() == [2, 5, 7]
    left = [[1.0, 1, 0, 0]] * 2  # a part's class fills the left half of its quarter
    nothing = [[0.0] * 4] * 2

    def rows(*halves):
        return [a + b for a, b in zip(*halves, strict=True)]

    two, five, seven = out["mask_labels"].tolist()
    assert two == rows(nothing, left) + rows(nothing, left)
    assert five == rows(left, nothing) + rows(nothing, nothing)
    assert seven == rows(nothing, nothing) + rows(left, nothing)


@pytest.mark.parametrize("grid", [(3, 4), (4, 5)])
def test_an_odd_number_of_patches_is_refused(grid):
    with pytest.raises(InputError, match=r"--mosaics needs an even number of patches"):
        mosaic([example(0, 0.0, grid=grid)] * 4)


@pytest.mark.parametrize("masked", [[True] * 3, [True, True, True, False]])
def test_a_mosaic_needs_four_examples_with_masks(masked):
    with pytest.raises(ValueError, match="four examples with masks"):
        mosaic([example(0, 0.0, masked=value) for value in masked])


@pytest.mark.parametrize(("share", "added"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_mosaics_of_images_with_masks_are_appended_to_a_batch(share, added):
    torch.manual_seed(0)
    batch = Collator(share)([example(i, i / 8, masked=i % 2 == 0) for i in range(8)])
    assert batch["labels"].tolist() == [*range(8), *[-100] * added]
    assert batch["pixel_values"].shape == (8 + added, 3, 16, 32)
    assert batch["explain_labels"].shape == batch["mask_labels"].shape[:2]
    assert all(c % 2 == 0 for c in batch["explain_labels"][8:].flatten().tolist())
    assert torch.equal(batch["explain_labels"][:8, 0], torch.arange(8))
    with pytest.raises(ValueError, match="at least 0"):
        Collator(-1)
