"""MaxBoxAcc and MaxBoxAccV2: small cases by hand, and slow versions written from the definitions."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.localization import LOCALIZATION

THRESHOLDS = np.arange(0, 1, 0.001)


def block(rows: slice, columns: slice, size: tuple[int, int] = (8, 8), value: float = 1.0) -> np.ndarray:
    heatmap = np.zeros(size)
    heatmap[rows, columns] = value
    return heatmap


def localization(heatmaps, boxes, correct=None):
    return LOCALIZATION.compute(heatmaps=np.array(heatmaps), boxes=[np.array(b) for b in boxes], correct=correct)


SQUARE = block(slice(2, 5), slice(1, 4))  # its box: 1, 2, 4, 5, of 16 pixels


@pytest.mark.parametrize(
    ("true", "reached"),
    [
        ([1, 2, 4, 5], 3),
        ([1, 2, 3, 4], 2),  # 9 / 16
        ([1, 2, 4, 3], 2),  # 8 / 16: .5 is enough
        ([1, 2, 3, 3], 1),  # 6 / 16
        ([1, 2, 4, 2], 0),  # 4 / 16
    ],
)
def test_each_iou_threshold(true, reached):
    values = localization([SQUARE], [[true]])
    assert values["max_box_acc_v2"] == pytest.approx(reached / 3)
    assert values["max_box_acc"] == (reached >= 2)


def test_any_true_box_will_do():
    assert localization([SQUARE], [[[6, 6, 7, 7], [1, 2, 4, 5]]])["max_box_acc"] == 1
    assert localization([SQUARE], [[[6, 6, 7, 7], [6, 0, 7, 1]]])["max_box_acc_v2"] == 0


def test_the_second_contour_counts_in_v2_alone():
    heatmap = block(slice(0, 4), slice(0, 4)) + block(slice(5, 7), slice(5, 7))
    values = localization([heatmap], [[[5, 5, 7, 7]]])
    assert values["max_box_acc"] == 0
    assert values["max_box_acc_v2"] == 1


@pytest.mark.parametrize("value", [0.0, 3.0, -1.0, np.nan, np.inf])
def test_a_map_without_order_finds_the_first_pixel_alone(value):
    heatmaps = [np.full((8, 8), value)] * 2
    values = localization(heatmaps, [[[0, 0, 0, 0]], [[0, 0, 7, 7]]])
    assert values["max_box_acc"] == values["max_box_acc_v2"] == 0.5


@pytest.mark.parametrize(("halo", "accuracy"), [(0.6, 1.0), (0.4, 0.5), (0.2, 0.5)])
def test_one_threshold_serves_the_whole_set(halo, accuracy):
    """The first image's object is core and halo, the second's only the core; the second's halo is always .4."""
    maps = [np.maximum(SQUARE, block(slice(0, 8), slice(0, 8), value=height)) for height in (halo, 0.4)]
    for heatmap in maps:
        heatmap[7, 7] = 0  # so that stretching changes nothing
    values = localization(maps, [[[0, 0, 7, 7]], [[1, 2, 4, 5]]])
    assert values["max_box_acc"] == accuracy


def test_each_iou_threshold_has_its_own_best_threshold():
    """The core alone hits one image at every IoU; core and halo hit both, but only at IoU .3."""
    heatmap = np.maximum(SQUARE, block(slice(1, 6), slice(0, 6), value=0.5))  # boxes 1, 2, 4, 5 and 0, 1, 6, 6
    boxes = [[[1, 2, 4, 5]], [[4, 1, 6, 6]]]  # IoU with the core 1 and 4 / 30, with the halo 16 / 42 and 18 / 42
    values = localization([heatmap, heatmap], boxes)
    assert values["max_box_acc_v2"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert values["max_box_acc"] == 0.5


def test_an_image_without_boxes_does_not_count():
    values = localization([SQUARE, SQUARE], [[[1, 2, 4, 5]], np.zeros((0, 4))])
    assert values["max_box_acc"] == values["max_box_acc_v2"] == 1
    assert np.isnan(localization([SQUARE], [[]])["max_box_acc"])


def test_top1_localization_needs_the_class_too():
    boxes = [[[1, 2, 4, 5]], [[1, 2, 4, 5]], [[6, 6, 7, 7]], [[1, 2, 4, 5]]]
    values = localization([SQUARE] * 4, boxes, correct=np.array([1, 0, 1, 1]))
    assert values["max_box_acc"] == 0.75
    assert values["top1_localization"] == 0.5
    assert np.isnan(localization([SQUARE] * 4, boxes)["top1_localization"])


def test_boxes_of_every_image_are_needed():
    with pytest.raises(ValueError, match="2 images, got 1"):
        localization([SQUARE, SQUARE], [[[1, 2, 4, 5]]])


def literally(heatmaps, boxes) -> tuple[float, float]:
    """MaxBoxAcc and MaxBoxAccV2 as they are defined, in loops."""
    largest_hits = [0] * len(THRESHOLDS)
    any_hits = {delta: [0] * len(THRESHOLDS) for delta in (0.3, 0.5, 0.7)}
    for heatmap, true in zip(heatmaps, boxes, strict=True):
        height, width = heatmap.shape
        if np.isnan(heatmap).any() or heatmap.min() == heatmap.max():
            heatmap = np.zeros_like(heatmap)
        else:
            heatmap = heatmap - heatmap.min()
            heatmap = heatmap / heatmap.max()
        grey = (heatmap * 255).astype(np.uint8)
        for i, threshold in enumerate(THRESHOLDS):
            _, binary = cv2.threshold(grey, int(threshold * grey.max()), 255, cv2.THRESH_BINARY)
            contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            overlaps, areas = [], []
            for contour in contours:
                x, y, w, h = cv2.boundingRect(contour)
                found = x, y, min(x + w, width - 1), min(y + h, height - 1)
                overlaps.append(max(literal_iou(found, box) for box in true))
                areas.append(cv2.contourArea(contour))
            if not contours:
                overlaps, areas = [max(literal_iou((0, 0, 0, 0), box) for box in true)], [0]
            largest_hits[i] += overlaps[areas.index(max(areas))] >= 0.5
            for delta, hits in any_hits.items():
                hits[i] += max(overlaps) >= delta
    n = len(heatmaps)
    return max(largest_hits) / n, sum(max(hits) / n for hits in any_hits.values()) / 3


def literal_iou(a, b) -> float:
    pixels = [
        {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)} for x0, y0, x1, y1 in (map(int, a), map(int, b))
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def random_boxes(rng, height, width) -> np.ndarray:
    corners = [np.sort(rng.integers(0, size, (int(rng.integers(1, 4)), 2)), axis=1) for size in (width, height)]
    count = min(map(len, corners))
    (x0, x1), (y0, y1) = (c[:count].T for c in corners)
    return np.stack([x0, y0, x1, y1], 1)


def random_maps(rng, n, height, width, smooth) -> np.ndarray:
    maps = rng.random((n, height, width))
    if smooth:
        maps = np.stack([cv2.GaussianBlur(m, (0, 0), 1.5) for m in maps])
    return maps


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("smooth", [False, True])
def test_equals_the_literal_version(seed, smooth):
    rng = np.random.default_rng(seed)
    maps = random_maps(rng, 6, 7, 9, smooth)
    maps[0] = 0.3
    maps[1] = np.round(maps[1] * 4)  # ties
    maps[2, 3, 3] = np.nan
    maps[3] -= 0.5
    boxes = [random_boxes(rng, 7, 9) for _ in maps]
    values = localization(maps, boxes)
    accuracy, second = literally(maps, boxes)
    assert values["max_box_acc"] == pytest.approx(accuracy, abs=1e-12)
    assert values["max_box_acc_v2"] == pytest.approx(second, abs=1e-12)


MAPS = hnp.arrays(np.int16, (3, 5, 6), elements=st.integers(-9, 9))
BOXES = st.lists(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 2), st.just(4)), elements=st.integers(0, 2)), min_size=3, max_size=3
)


@settings(max_examples=25)
@given(MAPS, BOXES, st.sampled_from([0.25, 2.0, 8.0]), st.sampled_from([-4.0, 0.0, 3.0]))
def test_scale_and_offset_of_a_map_do_not_matter(maps, corners, scale, offset):
    boxes = [np.hstack([c[:, :2], c[:, :2] + c[:, 2:]]) for c in corners]
    values = localization(maps, boxes, correct=np.ones(3))
    assert localization(maps * scale + offset, boxes, correct=np.ones(3)) == values
    assert 0 <= values["max_box_acc"] == values["top1_localization"] <= 1
    assert 0 <= values["max_box_acc_v2"] <= 1
