import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.maps_pm_vit import largest_box
from modeling_pm_vit.metrics.boxes import box_iou, boxes_of


def block(rows: slice, columns: slice, size: tuple[int, int] = (8, 8), value: float = 1.0) -> np.ndarray:
    heatmap = np.zeros(size)
    heatmap[rows, columns] = value
    return heatmap


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [
        (slice(2, 5), slice(1, 4), [1, 2, 4, 5]),  # x1 = x + width: one beyond the last pixel ...
        (slice(6, 8), slice(5, 8), [5, 6, 7, 7]),  # ... but not beyond the border
        (slice(0, 8), slice(0, 8), [0, 0, 7, 7]),
        (slice(3, 4), slice(6, 7), [6, 3, 7, 4]),  # one pixel
        (slice(7, 8), slice(7, 8), [7, 7, 7, 7]),  # one pixel in the corner
    ],
)
def test_box_of_a_block(rows, columns, box):
    boxes, largest = boxes_of(block(rows, columns))
    assert boxes.tolist() == [box]
    assert largest == 0


def test_without_a_contour_the_box_is_the_first_pixel():
    boxes, largest = boxes_of(np.zeros((4, 6)))
    assert (boxes.tolist(), largest) == ([[0, 0, 0, 0]], 0)


def test_the_map_may_be_oblong():
    boxes, _ = boxes_of(block(slice(1, 3), slice(7, 10), (4, 10)))
    assert boxes.tolist() == [[7, 1, 9, 3]]


def test_a_hole_is_a_contour_too():
    ring = block(slice(1, 7), slice(1, 7), (9, 9))
    ring[3:5, 3:5] = 0
    boxes, largest = boxes_of(ring)
    # The hole's contour runs over the pixels around it.
    assert sorted(boxes.tolist()) == [[1, 1, 7, 7], [2, 2, 6, 6]]
    assert boxes[largest].tolist() == [1, 1, 7, 7]


def test_the_largest_contour_is_the_one_of_the_largest_area_not_box():
    heatmap = block(slice(0, 4), slice(0, 4), (12, 12))
    heatmap[range(4, 12), range(4, 12)] = 1
    heatmap[4, 4] = 0  # a diagonal line: a large box without area
    boxes, largest = boxes_of(heatmap)
    assert len(boxes) == 2
    assert boxes[largest].tolist() == [0, 0, 4, 4]


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ([0, 0, 3, 3], [0, 0, 3, 3], 1),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1),  # a box of one pixel
        ([0, 0, 1, 1], [1, 1, 2, 2], 1 / 7),
        ([0, 0, 1, 1], [2, 2, 3, 3], 0),  # neighbours
        ([0, 0, 1, 1], [5, 0, 6, 1], 0),  # apart along x only
        ([0, 0, 1, 1], [5, 5, 6, 6], 0),  # apart along both
        ([0, 0, 3, 1], [0, 0, 1, 1], 1 / 2),
    ],
)
def test_iou_counts_pixels_inclusively(a, b, iou):
    assert box_iou([a], [b, b]).tolist() == [[iou, iou]]
    assert box_iou([b], [a]).tolist() == [[iou]]


@settings(max_examples=50)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))), st.integers(0, 9), st.integers(0, 9))
def test_of_one_part_the_image_processor_gives_the_same_box(shape, top, left):
    """But for its ends: exclusive there, and here the same, or the last pixel at the border."""
    filled = np.pad(np.maximum.accumulate(np.maximum.accumulate(shape, 0), 1), 1)  # one part without holes
    mask = np.zeros((18, 18), bool)
    mask[top : top + filled.shape[0], left : left + filled.shape[1]] = filled[: 18 - top, : 18 - left]
    boxes, largest = boxes_of(mask)
    box = largest_box(mask) or (0, 0, 0, 0)  # none, where this one is the first pixel
    assert boxes[largest].tolist() == np.minimum(box, 17).tolist()
