import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from modeling_pm_vit.metrics.segmentation import SEGMENTATION, foreground, foreground_ap, two_class_ap


def values_of(heatmaps, masks, **inputs):
    return SEGMENTATION.compute(heatmaps=np.array(heatmaps, float), masks=np.array(masks), **inputs)


def test_by_hand():
    values = values_of([[[1, 0.5], [0, 0]]], [[[1, 0], [0, 0]]])
    assert values == pytest.approx(
        {
            "pixel_accuracy": 3 / 4,
            "mean_iou": (1 / 2 + 2 / 3) / 2,
            # Scores 1: three, all right, of four; scores .5: one of two is right.
            "two_class_ap": 3 / 4 * 1 + 1 / 4 * 4 / 5,
            "two_class_ap_exact": 3 / 4 * 1 + 1 / 4 * 4 / 5,
            "foreground_ap": 1,
            "mask_iou": 1 / 2,
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("levels", [(2.0, 1.0, 0.0), (1.1, 0.6, 0.1), (1.5, 0.8, 0.1)])
def test_foreground_lies_above_the_mean_not_at_it(levels):
    """The middle is the mean, but its float32, 0.60000002, lies above the mean of the three float32 in float64."""
    assert foreground(np.array([[levels]], np.float32)).tolist() == [[[True, False, False]]]


def test_two_class_ap_is_that_of_float32_with_the_exact_one_beside_it():
    """
    Of a narrow peak, 1e-9 and 2e-9 are both 1 as background in float32. Scores of the map: 1, 2e-9, 1e-9, 0; of the
    background: 0, 1, 1, 1. True are the peak, the second pixel, and as background the third and fourth.
    """
    values = values_of([[[1.0, 2e-9, 1e-9, 0.0]]], [[[1, 1, 0, 0]]])
    # Four scores of 1: three true. Then 2e-9: true. Then 1e-9 and both zeros: all false.
    assert values["two_class_ap"] == pytest.approx(3 / 4 * 3 / 4 + 1 / 4 * 4 / 5)
    # 1 twice (peak, fourth as background), 1 - 1e-9 (third): true; 1 - 2e-9: false; 2e-9: true.
    assert values["two_class_ap_exact"] == pytest.approx(3 / 4 + 1 / 4 * 4 / 5)
    assert values["foreground_ap"] == 1


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, -1 / 3, 1e8 / 3])
@pytest.mark.parametrize("size", [3, 7, 10])
def test_a_constant_map_has_no_foreground(value, size):
    heatmaps = np.full((2, size, size), value)
    assert not foreground(heatmaps).any()
    masks = np.zeros((2, size, size), bool)
    masks[:, 0] = True
    values = values_of(heatmaps, masks)
    assert values["pixel_accuracy"] == pytest.approx(1 - 1 / size)
    assert values["mean_iou"] == pytest.approx((1 - 1 / size) / 2)
    assert values["two_class_ap"] == 0.5  # as in the published code, where 0 / 0 becomes 0 in both classes' scores
    assert values["foreground_ap"] == pytest.approx(1 / size)


def test_a_broken_map_counts_as_constant():
    masks = [[[1, 0], [0, 0]]]
    assert values_of(np.full((1, 2, 2), 3.0), masks) == values_of([[[np.nan, 1], [2, 3]]], masks)


def test_probabilities_are_cut_at_one_half_for_the_mask_iou_alone():
    heatmaps, masks = [[[0.5, 0.4], [0.2, 0.0]]], [[[1, 0], [0, 0]]]
    at_mean, at_half = values_of(heatmaps, masks), values_of(heatmaps, masks, probabilities=True)
    assert (at_mean.pop("mask_iou"), at_half.pop("mask_iou")) == (1 / 2, 1)
    assert at_mean == at_half


def test_counts_of_the_whole_set_but_precisions_of_images():
    heatmaps = [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
    masks = [[[1, 0], [0, 0]], [[1, 1], [1, 0]]]
    values = values_of(heatmaps, masks)
    assert values["pixel_accuracy"] == 4 / 8
    assert values["mean_iou"] == pytest.approx((1 / 5 + 3 / 7) / 2)
    assert values["mask_iou"] == (1 + 0) / 2
    assert values["foreground_ap"] == pytest.approx((1 + 3 / 4) / 2)


def test_an_empty_mask_counts_in_the_pixels_but_has_no_precision_of_its_own():
    values = values_of([[[1, 0], [0, 0]]] * 2, [[[1, 0], [0, 0]], [[0, 0], [0, 0]]])
    assert values["pixel_accuracy"] == 7 / 8
    assert values["mean_iou"] == pytest.approx((1 / 2 + 6 / 7) / 2)
    assert values["foreground_ap"] == values["mask_iou"] == 1


def test_ignored_pixels_are_not_counted():
    heatmaps = np.array([[[1, 0.9, 0], [0, 0, 0]]])
    masks, ignore = np.array([[[1, 0, 0], [0, 0, 1]]]), np.array([[[0, 1, 0], [0, 0, 1]]])
    values = values_of(heatmaps, masks, ignore=ignore)
    assert set(values.values()) == {1}
    assert not {1} & set(values_of(heatmaps, masks).values())


def test_nothing_to_count_gives_no_value_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = values_of([[[1, 0]]], [[[1, 0]]], ignore=np.ones((1, 1, 2)))
    assert np.isnan(list(values.values())).all()


def test_a_class_that_is_nowhere_has_no_say():
    assert values_of([[[1, 1]]], [[[0, 0]]])["mean_iou"] == 1
    everywhere = np.array([1.0, 0.0]), np.array([True, True])
    assert (two_class_ap(*everywhere), foreground_ap(*everywhere)) == (0.5, 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [None, 4])
def test_equals_torchmetrics_and_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    heatmaps = rng.normal(size=(5, 9, 11))
    if levels:
        heatmaps = np.round(heatmaps * levels) / levels
    masks = rng.random(heatmaps.shape) < 1 / (1 + np.exp(1 - heatmaps))
    values = values_of(heatmaps, masks)
    iou, accuracy = MulticlassJaccardIndex(2, average="macro"), MulticlassAccuracy(2, average="micro")
    two_class, exact, one_class = [], [], []
    for heatmap, mask in zip(heatmaps, masks, strict=True):
        predicted, target = torch.tensor(heatmap > heatmap.mean())[None].int(), torch.tensor(mask)[None].int()
        iou.update(predicted, target)
        accuracy.update(predicted, target)
        truth = np.stack([~mask, mask])
        for found, precision in ((two_class, torch.float32), (exact, torch.float64)):
            stretched = torch.tensor(heatmap, dtype=precision)
            stretched = (stretched - stretched.min()) / (stretched.max() - stretched.min())
            found.append(average_precision_score(truth.ravel(), torch.stack([1 - stretched, stretched]).ravel()))
        one_class.append(average_precision_score(mask.ravel(), heatmap.ravel()))
    assert values["pixel_accuracy"] == pytest.approx(float(accuracy.compute()), abs=1e-6)
    assert values["mean_iou"] == pytest.approx(float(iou.compute()), abs=1e-6)
    assert values["two_class_ap"] == pytest.approx(np.mean(two_class), abs=1e-6)
    assert values["two_class_ap_exact"] == pytest.approx(np.mean(exact), abs=1e-6)
    assert values["foreground_ap"] == pytest.approx(np.mean(one_class), abs=1e-6)
    assert values["two_class_ap"] > values["foreground_ap"]


MAPS = hnp.arrays(np.int16, (2, 3, 4), elements=st.integers(-6, 6))
MASKS = hnp.arrays(bool, (2, 3, 4))


@settings(max_examples=50)
@given(MAPS, MASKS, st.sampled_from([0.5, 4.0]), st.sampled_from([-8.0, 16.0]))
def test_bounded_and_unmoved_by_scale_and_offset(maps, masks, scale, offset):
    values = values_of(maps, masks)
    assert values_of(maps * scale + offset, masks) == pytest.approx(values, nan_ok=True)
    assert all(0 <= value <= 1 + 1e-12 or np.isnan(value) for value in values.values())
    assert np.isnan(values["foreground_ap"]) == (not masks.any())


@settings(max_examples=50)
@given(MAPS, MASKS)
def test_foreground_ap_depends_on_the_order_alone(maps, masks):
    ap = values_of(maps, masks)["foreground_ap"]
    assert values_of(np.exp(maps / 4), masks)["foreground_ap"] == pytest.approx(ap, nan_ok=True)


@settings(max_examples=50)
@given(MASKS)
def test_the_mask_itself_is_perfect(masks):
    varied = masks.any((1, 2)) & ~masks.all((1, 2))
    values = values_of(masks[varied], masks[varied]) if varied.any() else {}
    assert all(value == pytest.approx(1) for value in values.values())
