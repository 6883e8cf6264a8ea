import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.grid_pointing import GRID_2X2, GRID_3X3, cell_share, choose_grids, lay_out


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
    chance = 1 / metric.grid_side**2
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


LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4])
PREDICTED = np.array([0, 0, 1, 1, 1, 2, 0, 3, 3, 0])  # class 4 is never right
CONFIDENCE = np.array([0.5, 0.9, 1.0, 0.7, 0.8, 0.6, 1.0, 0.4, 0.4, 1.0])


def test_grids_hold_right_images_of_different_classes_the_surest_first():
    grids = choose_grids(LABELS, PREDICTED, CONFIDENCE, side=2, count=4)
    assert grids.shape == (4, 4)
    for grid in grids:
        assert sorted(LABELS[grid]) == [0, 1, 2, 3]
    chosen = {c: [int(i) for grid in grids for i in grid if LABELS[i] == c] for c in range(4)}
    # By falling confidence, in turn; equally sure images in their order.
    assert chosen == {0: [1, 0, 1, 0], 1: [4, 3, 4, 3], 2: [5, 5, 5, 5], 3: [7, 8, 7, 8]}


def test_grids_are_the_same_for_the_same_seed():
    many = np.arange(20).repeat(2)
    chosen = [choose_grids(many, many, np.ones(40), 2, 5, seed) for seed in (0, 0, 1)]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])


@pytest.mark.parametrize(("side", "count"), [(3, 2), (2, 0)])
def test_without_enough_classes_or_wishes_there_is_no_grid(side, count):
    grids = choose_grids(LABELS, PREDICTED, CONFIDENCE, side, count)
    assert grids.shape == (0, side**2)
    assert LABELS[grids].shape == grids.shape  # indices, even if there is none
