import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.grid_pointing import (
    GRID_2X2,
    GRID_2X2_BCOS,
    GRID_3X3,
    cell_share,
    choose_bcos_grids,
    choose_grids,
    lay_out,
    smoothed,
)


def test_by_hand():
    heatmap = np.array([[1, 0, 2, 0], [0, -9, 0, 0], [3, 0, 0, 0], [0, 1, 0, 3]])
    # Positive mass of the cells, row by row: 1, 2, 4, 3.
    assert cell_share(np.array([heatmap] * 4), np.arange(4), 2).tolist() == [0.1, 0.2, 0.4, 0.3]
    assert GRID_2X2.compute(heatmaps=np.array([heatmap] * 2), cells=[0, 2]) == {"grid_2x2": 0.25}


def test_the_map_may_be_oblong():
    heatmap = np.arange(1, 13).reshape(1, 2, 6)
    assert cell_share(heatmap, [1], 2)[0] == (4 + 5 + 6) / 78
    assert cell_share(np.arange(9).reshape(1, 3, 3), [5], 3)[0] == 5 / 36


@pytest.mark.parametrize("value", [0.0, -2.0, np.nan, 5.0])
@pytest.mark.parametrize("metric", [GRID_2X2, GRID_3X3])
def test_a_map_without_order_scores_chance(value, metric):
    chance = 1 / metric.grid.side**2
    share = metric.compute(heatmaps=np.full((2, 6, 6), value), cells=[0, 3])[metric.name]
    assert share == pytest.approx(chance)


@pytest.mark.parametrize(
    ("shape", "cells", "match"),
    [((1, 4, 5), [0], "2 x 2"), ((1, 4, 4), [4], "cells"), ((1, 4, 4), [-1], "cells"), ((2, 4, 4), [0], "cells")],
)
def test_what_does_not_fit_is_refused(shape, cells, match):
    with pytest.raises(ValueError, match=match):
        cell_share(np.zeros(shape), cells, 2)


@given(hnp.arrays(np.int16, (1, 6, 6), elements=st.integers(-3, 9)))
def test_cells_make_a_whole_and_follow_the_layout(heatmap):
    for side in (1, 2, 3):
        shares = cell_share(heatmap.repeat(side**2, 0), np.arange(side**2), side)
        assert shares.sum() == pytest.approx(1)
        cells = torch.as_tensor(heatmap).unfold(1, 6 // side, 6 // side).unfold(2, 6 // side, 6 // side)
        mass = cells.clamp(min=0).sum((-2, -1)).flatten().numpy()
        if mass.any():
            assert shares == pytest.approx(mass / mass.sum())


@pytest.mark.parametrize("side", [1, 2, 3])
def test_images_are_laid_out_row_by_row(side):
    images = torch.arange(side**2).view(-1, 1, 1, 1).expand(-1, 3, 2, 4).float()
    grid = lay_out(images, side)
    assert grid.shape == (3, 2 * side, 4 * side)
    assert torch.equal(grid[0, ::2, ::4], torch.arange(side**2).view(side, side).float())
    for cell in range(side**2):
        alone = (grid[:1] == cell).float().numpy()
        assert cell_share(alone, [cell], side)[0] == 1


LABELS = np.array([0, 0, 1, 1, 2, 3, 3])
CONFIDENCE = np.array([0.5, 0.9, 0.7, 0.8, 0.6, 0.4, 0.4])


def test_grids_hold_images_of_different_classes_the_surest_first():
    grids = choose_grids(LABELS, CONFIDENCE, side=2, count=4)
    assert grids.shape == (4, 4)
    for grid in grids:
        assert sorted(LABELS[grid]) == [0, 1, 2, 3]
    chosen = {c: [int(i) for grid in grids for i in grid if LABELS[i] == c] for c in range(4)}
    # By falling confidence, in turn; equally sure images in their order.
    assert chosen == {0: [1, 0, 1, 0], 1: [3, 2, 3, 2], 2: [4, 4, 4, 4], 3: [5, 6, 5, 6]}


def test_grids_are_the_same_for_the_same_seed():
    many = np.arange(20).repeat(2)
    chosen = [choose_grids(many, np.ones(40), 2, 5, seed) for seed in (0, 0, 1)]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])


@pytest.mark.parametrize(("side", "count"), [(3, 2), (2, 0)])
def test_without_enough_classes_or_wishes_there_is_no_grid(side, count):
    grids = choose_grids(LABELS, CONFIDENCE, side, count)
    assert grids.shape == (0, side**2)
    assert LABELS[grids].shape == grids.shape  # indices, even if there is none


def test_smoothing_is_a_mean_over_the_window_with_zeros_beyond_the_border():
    heatmap = np.zeros((1, 5, 6))
    heatmap[0, 0, 0], heatmap[0, 3, 3] = 9, -18
    expected = np.zeros((5, 6))
    expected[:2, :2] = 1
    expected[2:5, 2:5] = -2
    assert smoothed(heatmap, 3)[0] == pytest.approx(expected)


def test_the_bcos_protocol_smooths_with_the_sign_and_gives_a_map_without_mass_nothing():
    """A positive pixel beside an equal negative one is smoothed away where both windows reach."""
    heatmap = np.zeros((1, 40, 40))
    heatmap[0, 10, 10] = 1
    assert GRID_2X2_BCOS.compute(heatmaps=heatmap, cells=[0])["grid_2x2_bcos"] == 1
    heatmap[0, 10, 30] = 1
    assert GRID_2X2_BCOS.compute(heatmaps=heatmap, cells=[0])["grid_2x2_bcos"] == pytest.approx(0.5)
    heatmap[0, 10, 11] = -1  # leaves the column on the left of the first window: 15 of 225 pixels
    assert GRID_2X2_BCOS.compute(heatmaps=heatmap, cells=[0])["grid_2x2_bcos"] == pytest.approx(15 / (15 + 225))
    for value in (0.0, -1.0, np.nan):
        assert GRID_2X2_BCOS.compute(heatmaps=np.full((1, 40, 40), value), cells=[0])["grid_2x2_bcos"] == 0


def test_bcos_grids_use_a_confident_image_once_and_leave_one_out_between_two_grids():
    """Five classes of three images; of the last class, one logit is negative: the sigmoid is below 0.5."""
    labels = np.arange(5).repeat(3)
    logits = np.array([1, 3, 2] * 4 + [3, -1, 2], float)
    grids = choose_bcos_grids(labels, logits, side=2, count=9)
    # The seed of the protocol, 42, draws these classes; its images are those of each class by falling logit.
    generator, left, drawn = np.random.RandomState(42), {c: [3 * c + 1, 3 * c + 2, 3 * c] for c in range(4)}, []
    left[4] = [12, 14]
    while len(classes := [c for c in range(5) if left[c]]) > 4:
        drawn += [left[c].pop(0) for c in generator.choice(classes, 4, replace=False)]
    rest, expected = drawn[:], []
    while rest:
        grid = []
        while rest and len(grid) < 4:
            image = rest.pop(0)
            if labels[image] not in labels[grid]:
                grid.append(image)
        if len(grid) == 4:
            expected.append([grid[0], grid[2], grid[1], grid[3]])  # column by column
        rest = rest[1:]
    assert grids.tolist() == expected
    assert 1 <= len(grids) < len(drawn) / 4
    assert len(set(grids.ravel())) == grids.size
    assert 13 not in grids
    assert choose_bcos_grids(labels, logits, 2, 1).tolist() == expected[:1]


def test_bcos_grids_need_one_class_more_than_cells():
    assert choose_bcos_grids(np.arange(4), np.ones(4), 2, 3).shape == (0, 4)
    assert choose_bcos_grids(np.arange(5), np.ones(5), 2, 3).shape == (1, 4)
    assert choose_bcos_grids(np.zeros(0, int), np.zeros(0), 2, 3).shape == (0, 4)
