import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from modeling_pm_vit.data.masks import decode_mask


@given(hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 4)))
def test_class_ids_come_apart_and_put_together_again(ids):
    classes, planes = decode_mask(ids, "class_id", 9, (5, 7))
    assert planes.sum(0).max() <= 1
    assert np.array_equal(sum((c + 1) * plane for c, plane in zip(classes, planes, strict=True)), ids)


def test_a_mask_that_is_known_to_be_empty_is_not_one_that_is_unknown():
    assert decode_mask(None, "class_id", 3, (2, 2))[0] == []
    classes, planes = decode_mask(np.zeros((2, 2)), "class_id", 3, (2, 2))
    assert classes == [3]
    assert planes.shape == (1, 2, 2)
    assert not planes.any()


@pytest.mark.parametrize("value", [1, 255])
def test_binary_masks_are_the_images_class(value):
    mask = Image.fromarray(np.array([[0, value, 0], [0, 0, value]], np.uint8))
    classes, planes = decode_mask(mask, "binary", 5, (2, 3))
    assert classes == [5]
    assert planes.tolist() == [[[0, 1, 0], [0, 0, 1]]]


@pytest.mark.parametrize(
    ("box", "covered"),
    [
        ([1, 0, 3, 2], (slice(0, 2), slice(1, 3))),
        ([0.6, 1.4, 4, 9], (slice(1, 4), slice(1, 4))),  # rounded, cut at the border
        ([-5, -5, 1, 1], (slice(0, 1), slice(0, 1))),
    ],
)
def test_boxes_are_filled_in_x_y_order(box, covered):
    expected = np.zeros((4, 5), int)
    expected[covered] = 1
    classes, planes = decode_mask(box, "box", 2, (4, 5))
    assert classes == [2]
    assert np.array_equal(planes[0], expected)


def test_several_boxes_are_one_mask():
    _, planes = decode_mask([[0, 0, 1, 1], [3, 3, 4, 4]], "box", 0, (4, 4))
    assert planes.shape == (1, 4, 4)
    assert planes.sum() == 2


@pytest.mark.parametrize(
    ("value", "encoding", "message"),
    [
        (np.zeros((3, 2)), "binary", r"\(2, 3\), got \(3, 2\)"),
        (np.zeros((2, 3, 3)), "class_id", "size"),
        ([1, 2, 3], "box", "x0, y0, x1, y1"),
        ([], "box", "x0, y0, x1, y1"),
    ],
)
def test_wrong_masks_are_refused(value, encoding, message):
    with pytest.raises(ValueError, match=message):
        decode_mask(value, encoding, 0, (2, 3))
