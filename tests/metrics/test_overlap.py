import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.overlap import intersection_over_union

MASKS = hnp.arrays(bool, (2, 4, 5))


def test_by_hand():
    a = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]], bool)
    b = np.array([[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[0, 1], [0, 0]]], bool)
    assert intersection_over_union(a, b).tolist() == [1 / 3, 1, 0]


@given(MASKS, MASKS)
def test_iou_is_symmetric_and_one_only_for_equal_masks(a, b):
    iou = intersection_over_union(a, b)
    assert np.array_equal(iou, intersection_over_union(b, a))
    assert np.array_equal(iou == 1, (a == b).all((1, 2)))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 2\), \(2, 3\)"):
        intersection_over_union(np.zeros((2, 2)), np.zeros((2, 3)))
