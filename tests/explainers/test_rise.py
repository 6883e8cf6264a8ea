from math import ceil

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from modeling_pm_vit.explainers.rise import draw_masks, enlarge_masks, rise

LABELS = torch.tensor([0, 3, 1])


@pytest.mark.parametrize("cells", [7, 8, 10])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (7, 14), (224, 224)])
def test_a_mask_is_its_grid_enlarged_with_mirrored_ends_and_shifted(size, cells):
    """As `skimage.transform.resize(..., order=1, mode="reflect")` of the authors' code, which calls this function."""
    grids, shifts = draw_masks(5, cells, seed=3)
    masks = enlarge_masks(grids, shifts, size).numpy()
    cell = [ceil(side / cells) for side in size]
    for grid, shift, mask in zip(grids.double().numpy(), shifts.numpy(), masks, strict=True):
        enlarged = zoom(grid, [(cells + 1) * side / cells for side in cell], order=1, mode="mirror", grid_mode=True)
        top, left = (int(part * side) for part, side in zip(shift, cell, strict=True))
        np.testing.assert_allclose(mask, enlarged[top : top + size[0], left : left + size[1]], atol=2e-6)


def test_beyond_the_middle_of_an_outer_cell_the_mask_falls_again():
    """
    By hand: 2 x 2 cells in 8 x 8 pixels, enlarged to 12 x 12. Pixel y is at (y + 0.5) / 6 - 0.5 cells: -5/12, -3/12,
    -1/12, 1/12, ... From cells of 1 above and 0 below, the first pixel has 1 - 5/12 mirrored, not 1.
    """
    grid = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    mask = enlarge_masks(grid, torch.zeros(1, 2), (8, 8))[0]
    expected = [7 / 12, 9 / 12, 11 / 12, 11 / 12, 9 / 12, 7 / 12, 5 / 12, 3 / 12]
    np.testing.assert_allclose(mask.numpy(), np.repeat(np.array(expected)[:, None], 8, 1), atol=1e-6)


def test_masks_are_drawn_as_the_paper_says():
    grids, shifts = draw_masks(4000)
    assert grids.shape == (4000, 7, 7)
    assert set(grids.unique().tolist()) == {0, 1}
    assert grids.mean() == pytest.approx(0.5, abs=0.01)
    assert draw_masks(4000, 10, 0.1)[0].mean() == pytest.approx(0.1, abs=0.01)
    assert shifts.min() >= 0
    assert shifts.max() < 1
    assert not torch.equal(grids, draw_masks(4000, seed=1)[0])


def test_is_the_mean_of_the_masks_weighted_by_the_probability(model, wide_images):
    count = 150  # more than go into one pass
    masks = enlarge_masks(*draw_masks(count), (24, 40))
    for image, label, heatmap in zip(wide_images, LABELS, rise(model, wide_images, LABELS, count), strict=True):
        expected = np.zeros((24, 40))
        with torch.no_grad():
            for mask in masks:
                logits = model((image * mask)[None], interpolate_pos_encoding=True).logits
                expected += logits.softmax(-1)[0, label].item() * mask.double().numpy()
        np.testing.assert_allclose(heatmap, expected / count / 0.5, atol=1e-6)


def test_cells_and_share_are_settings(model, images):
    maps = rise(model, images[:1], LABELS[:1], masks=30, cells=4, kept=0.2)
    masks = enlarge_masks(*draw_masks(30, 4, 0.2), (32, 32))
    with torch.no_grad():
        scores = model(images[0] * masks[:, None]).logits.softmax(-1)[:, 0]
    expected = torch.einsum("m, mhw -> hw", scores, masks) / 30 / 0.2
    np.testing.assert_allclose(maps[0], expected.numpy(), atol=1e-5)


def test_several_classes_of_one_image_share_its_masks(model, images):
    forward = []
    model.base_model.layers[0].register_forward_hook(lambda module, inputs, output: forward.append(len(output)))
    maps = rise(model, images[[0, 1, 0, 0]], torch.tensor([2, 1, 0, 3]), masks=10)
    assert sum(forward) == 2 * 10
    for place, (image, label) in enumerate([(0, 2), (1, 1), (0, 0), (0, 3)]):
        alone = rise(model, images[image : image + 1], torch.tensor([label]), masks=10)
        np.testing.assert_allclose(maps[place], alone[0], atol=1e-6)


def test_classes_that_may_hold_together_are_scored_by_a_sigmoid(make, images):
    model = make("vit", problem_type="multi_label_classification")
    masks = enlarge_masks(*draw_masks(6), (32, 32))
    with torch.no_grad():
        scores = model(images[0] * masks[:, None]).logits.sigmoid()[:, 2]
    expected = torch.einsum("m, mhw -> hw", scores, masks) / 6 / 0.5
    np.testing.assert_allclose(rise(model, images[:1], torch.tensor([2]), masks=6)[0], expected.numpy(), atol=1e-6)
