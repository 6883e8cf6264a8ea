from functools import partial

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.evaluation.batch import part_boxes, read_batch, scaled_boxes
from modeling_pm_vit.metrics.semantic_segmentation import SEMANTIC_SEGMENTATION

SIZE = (60, 40)  # of the image; the model takes 30 x 40
REGION = (slice(10, 30), slice(4, 20))


@pytest.fixture
def processor():
    size = {"height": 30, "width": 40}
    return PMViTImageProcessor(size=size, patch_size=10, image_mean=[0.0] * 3, image_std=[1.0] * 3)


def image() -> Image.Image:
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[REGION] = 255
    return Image.fromarray(pixels)


def plane(value, dtype=np.uint8, rest=0) -> np.ndarray:
    mask = np.full(SIZE, rest, dtype)
    mask[REGION] = value
    return mask


def imagenet_s() -> Image.Image:
    channels = np.zeros((*SIZE, 3), np.uint8)
    channels[REGION] = (2, 0, 0)
    channels[40:, :] = (1000 % 256, 1000 // 256, 0)
    return Image.fromarray(channels)


VALUES = {
    "binary": plane(1),
    "class_id": plane(2),
    "imagenet_s": imagenet_s(),
    "box": [4, 10, 20, 30],
    "polygon": [[4, 10, 20, 10, 20, 30, 4, 30]],
}


@pytest.mark.parametrize("encoding", VALUES)
def test_masks_and_boxes_lie_where_the_object_is(processor, encoding):
    rows = {"image": [image()] * 2, "label": [1, 1], "mask": [VALUES[encoding], None]}
    batch = read_batch(rows, processor, encoding, Columns())
    white = batch.pixel_values[:, 0].numpy() > 0.5
    assert np.array_equal(batch.masks[0], white[0])
    assert batch.boxes[0][0] == pytest.approx([4, 5, 19, 14], abs=1)
    assert batch.has_region.tolist() == [True, False]
    assert batch.has_mask.tolist() == [encoding != "box", False]
    assert not batch.has_empty_mask.any()
    assert batch.classes == [[1], []]
    assert batch.boxes[1].shape == (0, 4)
    assert batch.ignore[0].any() == (encoding == "imagenet_s")
    assert (batch.id_maps[0] is not None) == (encoding in ("class_id", "imagenet_s"))
    assert batch.id_maps[1] is None


def test_several_classes_have_a_plane_each_and_the_mask_is_the_labels(processor):
    ids = plane(2)
    ids[50:, 30:] = 1
    batch = read_batch({"image": [image()], "label": [0], "mask": [ids]}, processor, "class_id", Columns())
    assert batch.classes == [[0, 1]]
    assert np.array_equal(batch.masks[0], batch.planes[0][0])
    assert batch.masks[0][25:, 30:].all()
    assert np.array_equal(batch.id_maps[0], ids)


def test_class_999_of_a_thousand_is_a_class_and_the_unknown_stays_unknown(processor):
    """Its number in a map of class index + 1 is the 1000 by which the files of ImageNet-S mark unknown pixels."""
    ids = plane(1000, np.uint16)
    ids[45:] = 65535
    batch = read_batch({"image": [image()], "label": [999], "mask": [ids]}, processor, "class_id", Columns())
    assert batch.classes == [[999]]
    assert batch.has_mask.all()
    (target,) = batch.id_maps
    assert (target[REGION] == 1000).all()
    score = partial(SEMANTIC_SEGMENTATION.compute, targets=target[None], num_classes=1000)
    perfect = np.where(target == 1000, 1000, 0)
    assert score(predictions=perfect[None])["semantic_miou"] == 1
    # Known are 45 x 40 pixels, of which 20 x 16 are the class. Predicting nothing: other 1480 / 1800, the class 0.
    assert score(predictions=0 * perfect[None])["semantic_miou"] == pytest.approx(1480 / 1800 / 2)


@pytest.mark.parametrize("encoding", ["binary", "box", "class_id", "imagenet_s", "polygon"])
@pytest.mark.parametrize("nothing", [None, "", []])
def test_nothing_known_in_any_form(processor, encoding, nothing):
    batch = read_batch({"image": [image()], "label": [0], "mask": [nothing]}, processor, encoding, Columns())
    assert not batch.has_region.any()
    assert batch.id_maps == [None]


def test_an_empty_mask_is_no_region(processor):
    batch = read_batch({"image": [image()], "label": [0], "mask": [plane(0)]}, processor, "binary", Columns())
    assert not batch.has_mask.any()
    assert batch.has_empty_mask.all()
    assert batch.classes == [[0]]


def test_an_object_smaller_than_a_pixel_is_there(processor):
    mask = np.zeros(SIZE, np.uint8)
    mask[30, 7] = 1  # every second row is read
    batch = read_batch({"image": [image()], "label": [0], "mask": [mask]}, processor, "binary", Columns())
    assert batch.has_mask.all()
    assert np.argwhere(batch.masks[0]).tolist() == [[15, 7]]


def test_boxes_beside_masks_are_the_true_ones(processor):
    rows = {"image": [image()], "label": [0], "mask": [plane(1)], "boxes": [[[0, 0, 40, 60], [4, 10, 20, 30]]]}
    batch = read_batch(rows, processor, "binary", Columns(boxes="boxes"))
    assert batch.boxes[0].tolist() == [[0, 0, 39, 29], [4, 5, 20, 15]]
    assert batch.has_mask.all()


def test_scaled_boxes_stay_inside():
    boxes = scaled_boxes([[-5, 0, 500, 60]], SIZE, (30, 40))
    assert boxes.tolist() == [[0, 0, 39, 29]]


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        (
            [55, 45, 110, 80],
            (80, 110),
            [112, 126, 223, 223],
        ),  # 55 * (224 / 110) is 111.99...
        ([85, 0, 90, 159], (160, 160), [119, 0, 126, 222]),
        ([1.9, 1.9, 2.1, 2.1], (224, 224), [1, 1, 2, 2]),  # parts of a pixel are cut off
    ],
)
def test_boxes_are_multiplied_before_they_are_divided(box, size, expected):
    assert scaled_boxes([box], size, (224, 224)).tolist() == [expected]


def test_each_connected_part_has_its_box():
    mask = np.zeros((6, 8), bool)
    mask[0, 0] = mask[1, 1] = True  # neighbours by a corner
    mask[4:, 6:] = True
    assert sorted(part_boxes(mask).tolist()) == [[0, 0, 1, 1], [6, 4, 7, 5]]
    assert part_boxes(np.zeros((3, 3), bool)).shape == (0, 4)
