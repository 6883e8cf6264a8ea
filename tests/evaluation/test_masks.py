import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.evaluation.masks import energy_inside, intersection_over_union

MASKS = hnp.arrays(bool, (2, 4, 5))


def test_by_hand():
    a = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]], bool)
    b = np.array([[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[0, 1], [0, 0]]], bool)
    assert intersection_over_union(a, b).tolist() == [1 / 3, 1, 0]
    heatmap = np.array([[[0.5, 0.25], [-1, 0.25]], [[0, 0], [0, 0]], [[np.pi, 0], [0, 0]]])
    assert energy_inside(heatmap, b).tolist() == [0.5, 0, 0]


@given(MASKS, MASKS)
def test_iou_is_symmetric_and_one_only_for_equal_masks(a, b):
    iou = intersection_over_union(a, b)
    assert np.array_equal(iou, intersection_over_union(b, a))
    assert np.array_equal(iou == 1, (a == b).all((1, 2)))


@given(hnp.arrays(np.float64, (2, 4, 5), elements={"min_value": 0, "max_value": 1}), MASKS)
def test_energy_inside_and_outside_make_a_whole(heatmap, mask):
    total = energy_inside(heatmap, mask) + energy_inside(heatmap, ~mask)
    assert total == pytest.approx((heatmap.sum((1, 2)) > 0).astype(float))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 2\), \(2, 3\)"):
        energy_inside(np.zeros((2, 2)), np.zeros((2, 3)))
