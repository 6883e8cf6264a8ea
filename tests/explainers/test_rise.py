from math import ceil

import numpy as np
import pytest
import torch

from modeling_pm_vit.explainers.rise import draw_masks, enlarge_masks, rise

LABELS = torch.tensor([0, 3, 1])


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (7, 14)])
def test_a_mask_is_its_grid_enlarged_and_shifted(size):
    cells, shifts = draw_masks(5, seed=3)
    masks = enlarge_masks(cells, shifts, size).numpy()
    cell = [ceil(side / 7) for side in size]

    def weights(side, shift):  # rows: the pixels of one axis; columns: the seven cells, bilinear with clamped ends
        places = (np.arange(side) + int(shift) + 0.5) * 7 / (8 * cell_side) - 0.5
        return np.maximum(0, 1 - np.abs(places.clip(0, 6)[:, None] - np.arange(7)))

    for grid, shift, mask in zip(cells.numpy(), shifts.numpy(), masks, strict=True):
        along = []
        for side, cell_side, part in zip(size, cell, shift, strict=True):
            along.append(weights(side, part * cell_side))
        np.testing.assert_allclose(mask, along[0] @ grid @ along[1].T, atol=1e-6)


def test_masks_are_drawn_as_the_paper_says():
    cells, shifts = draw_masks(4000, seed=0)
    assert set(cells.unique().tolist()) == {0, 1}
    assert cells.mean() == pytest.approx(0.5, abs=0.01)
    assert shifts.min() >= 0
    assert shifts.max() < 1
    assert not torch.equal(cells, draw_masks(4000, seed=1)[0])


def test_is_the_mean_of_the_masks_weighted_by_the_probability(model, wide_images):
    count = 150  # more than go into one pass
    masks = enlarge_masks(*draw_masks(count, seed=0), (24, 40))
    for image, label, heatmap in zip(wide_images, LABELS, rise(model, wide_images, LABELS, count), strict=True):
        expected = np.zeros((24, 40))
        with torch.no_grad():
            for mask in masks:
                logits = model((image * mask)[None], interpolate_pos_encoding=True).logits
                expected += logits.softmax(-1)[0, label].item() * mask.double().numpy()
        np.testing.assert_allclose(heatmap, expected / count / 0.5, atol=1e-6)


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
    masks = enlarge_masks(*draw_masks(6, seed=0), (32, 32))
    with torch.no_grad():
        scores = model(images[0] * masks[:, None]).logits.sigmoid()[:, 2]
    expected = torch.einsum("m, mhw -> hw", scores, masks) / 6 / 0.5
    np.testing.assert_allclose(rise(model, images[:1], torch.tensor([2]), masks=6)[0], expected.numpy(), atol=1e-6)
