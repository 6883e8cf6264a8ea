import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from modeling_pm_vit.data.classes import ClassMap, match_classes
from modeling_pm_vit.data.masks import decode_mask
from modeling_pm_vit.utils.errors import InputError


@given(hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 4)))
def test_class_ids_are_split_into_planes_without_loss(ids):
    classes, planes, _ = decode_mask(ids, "class_id", 9, (5, 7))
    assert planes.sum(0).max() <= 1
    assert np.array_equal(sum((c + 1) * plane for c, plane in zip(classes, planes, strict=True)), ids)


def test_an_empty_mask_differs_from_a_missing_one():
    assert decode_mask(None, "class_id", 3, (2, 2))[0] == []
    classes, planes, _ = decode_mask(np.zeros((2, 2)), "class_id", 3, (2, 2))
    assert classes == [3]
    assert planes.shape == (1, 2, 2)
    assert not planes.any()


@pytest.mark.parametrize("value", [1, 255])
def test_binary_masks_are_the_images_class(value):
    mask = Image.fromarray(np.array([[0, value, 0], [0, 0, value]], np.uint8))
    classes, planes, _ = decode_mask(mask, "binary", 5, (2, 3))
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
    classes, planes, _ = decode_mask(box, "box", 2, (4, 5))
    assert classes == [2]
    assert np.array_equal(planes[0], expected)


def test_several_boxes_are_one_mask():
    _, planes, _ = decode_mask([[0, 0, 1, 1], [3, 3, 4, 4]], "box", 0, (4, 4))
    assert planes.shape == (1, 4, 4)
    assert planes.sum() == 2


@pytest.mark.parametrize("encoding", ["binary", "class_id", "imagenet_s", "box", "polygon"])
@pytest.mark.parametrize("value", [None, "", []])
def test_a_missing_mask_has_no_classes(value, encoding):
    classes, planes, _ = decode_mask(value, encoding, 3, (4, 5))
    assert classes == []
    assert planes.shape == (0, 4, 5)


def test_imagenet_s_masks_use_two_channels_and_ignore_1000():
    ids = np.array([[0, 1, 900], [1000, 300, 300]])
    image = Image.fromarray(np.stack([ids % 256, ids // 256, np.zeros_like(ids)], -1).astype(np.uint8))
    classes, planes, ignored = decode_mask(image, "imagenet_s", 0, (2, 3))
    assert classes == [0, 299, 899]
    assert [plane.tolist() for plane in planes[:2]] == [[[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 1]]]
    assert ignored.tolist() == [[False] * 3, [True, False, False]]


def test_class_ids_of_16_bits_can_be_unknown():
    ids = np.array([[0, 7, 65535]], np.uint16)
    classes, _, ignored = decode_mask(ids, "class_id", 0, (1, 3))
    assert classes == [6]
    assert ignored.tolist() == [[False, False, True]]
    assert decode_mask(np.zeros((1, 3)), "class_id", 0, (1, 3)).ignored is None


def test_polygons_are_drawn_as_coco_draws_them():
    coco = pytest.importorskip("pycocotools.mask")
    angles = np.linspace(0, 2 * np.pi, 7)[:-1]
    corners = np.stack([30 + 22.3 * np.cos(angles), 24 + 17.7 * np.sin(angles)], -1).ravel().tolist()
    square = [2, 3, 12, 3, 12, 9, 2, 9]
    expected = coco.decode(coco.merge(coco.frPyObjects([corners, square], 48, 64))).astype(bool)
    classes, planes, _ = decode_mask([corners, square], "polygon", 4, (48, 64))
    assert classes == [4]
    assert (planes[0] & expected).sum() / (planes[0] | expected).sum() > 0.97
    assert planes[0, 3:9, 2:12].all()
    assert planes[0, :10, :13].sum() == 60


def test_annotations_name_their_classes():
    square, strip = [0, 0, 2, 0, 2, 2, 0, 2], [0, 3, 4, 3, 4, 4, 0, 4]
    annotations = [
        {"category_id": 5, "segmentation": [square]},
        {"category_id": 2, "segmentation": strip},
        {"category_id": 5, "segmentation": [strip]},
    ]
    classes, planes, _ = decode_mask(annotations, "polygon", 0, (4, 4))
    assert classes == [5, 2]
    assert planes.sum((1, 2)).tolist() == [8, 4]


@pytest.mark.parametrize(
    ("value", "encoding", "expected"),
    [
        (np.array([[0, 3, 1]]), "class_id", [0, 5]),
        (Image.fromarray(np.array([[(0, 0, 0), (3, 0, 0), (1, 0, 0)]], np.uint8)), "imagenet_s", [0, 5]),
        ([{"category_id": 2, "segmentation": [0, 0, 3, 0, 3, 1, 0, 1]}], "polygon", [5]),
        (np.array([[0, 1, 1]]), "binary", [4]),  # these are the label
        ([0, 0, 1, 1], "box", [4]),
        (np.zeros((1, 3)), "class_id", [4]),
    ],
)
def test_numbers_of_the_dataset_become_those_of_the_model(value, encoding, expected):
    classes = match_classes(["jay", "owl", "tit"], ["jay", "ant", "bee", "cat", "owl", "tit"], "birds")
    assert decode_mask(value, encoding, 1, (1, 3), classes).classes == expected


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (np.array([[0, 4, 1]]), "class_id"),
        (Image.fromarray(np.array([[(0, 0, 0), (4, 0, 0), (1, 0, 0)]], np.uint8)), "imagenet_s"),
        ([{"category_id": 3, "segmentation": [0, 0, 3, 0, 3, 1, 0, 1]}], "polygon"),
    ],
)
def test_a_number_that_is_no_class_of_the_dataset_is_refused(value, encoding):
    with pytest.raises(
        InputError, match=r"the mask's class must lie in 0 \.\.\. 2, got 3; the dataset has 3 classes: a"
    ):
        decode_mask(value, encoding, 0, (1, 3), ClassMap.own("abc"))


@pytest.mark.parametrize(
    ("value", "encoding", "message"),
    [
        (np.zeros((3, 2)), "binary", r"\(2, 3\), got \(3, 2\)"),
        (np.zeros((2, 3, 5)), "class_id", "size"),
        ([1, 2, 3], "box", "x0, y0, x1, y1"),
        ([[0, 0, 1, 1, 2]], "polygon", "x2, y2"),
        ({"counts": "a"}, "binary", "size"),
    ],
)
def test_wrong_masks_are_refused(value, encoding, message):
    with pytest.raises(ValueError, match=message):
        decode_mask(value, encoding, 0, (2, 3))
