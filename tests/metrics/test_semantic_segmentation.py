import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.classification import MulticlassJaccardIndex

from modeling_pm_vit.metrics.semantic_segmentation import IGNORE, SEMANTIC_SEGMENTATION, class_counts


def miou(predictions, targets, num_classes):
    return SEMANTIC_SEGMENTATION.compute(
        predictions=np.array(predictions), targets=np.array(targets), num_classes=num_classes
    )["semantic_miou"]


def test_by_hand():
    targets = [[[0, 0, 1], [2, 2, IGNORE]], [[1, 1, 1], [IGNORE, 0, 0]]]
    predictions = [[[0, 1, 1], [2, 0, 2]], [[1, 1, 0], [1, 0, 0]]]
    counts = class_counts(predictions, targets, 3)
    # [intersection, union] of other, 1, 2, 3; what stands under `IGNORE` counts in neither.
    assert counts.tolist() == [[[1, 3], [1, 2], [1, 2], [0, 0]], [[2, 3], [2, 3], [0, 0], [0, 0]]]
    # Over the set: other 3/6, class 1 3/5, class 2 1/2; class 3 is nowhere and has no say.
    assert miou(predictions, targets, 3) == pytest.approx((3 / 6 + 3 / 5 + 1 / 2) / 3, abs=1e-12)


def test_over_all_classes_one_that_is_nowhere_counts_as_0():
    """As in the published evaluation: IoU 1/2 of other, 1/2 of class 1, 0 of 2 and 3."""
    values = SEMANTIC_SEGMENTATION.compute(
        predictions=np.array([[[0, 1, 1]]]), targets=np.array([[[0, 0, 1]]]), num_classes=3
    )
    assert values == {"semantic_miou": 1 / 2, "semantic_miou_all": (1 / 2 + 1 / 2) / 4}


def test_a_class_that_is_only_predicted_counts_as_0():
    assert miou([[[0, 2]]], [[[0, 0]]], 2) == pytest.approx((1 / 2 + 0) / 2)


def test_nothing_known_is_no_value():
    assert np.isnan(miou([[[0, 1]]], [[[IGNORE, IGNORE]]], 1))


@pytest.mark.parametrize("ids", [([[[3]]], [[[0]]]), ([[[0]]], [[[3]]]), ([[[-1]]], [[[0]]]), ([[[IGNORE]]], [[[0]]])])
def test_ids_that_are_no_class_are_refused(ids):
    with pytest.raises(ValueError, match=r"0 ... 2"):
        class_counts(*ids, 2)


def test_the_published_mark_is_refused_where_it_would_be_a_class():
    with pytest.raises(ValueError, match=r"targets must hold 0 ... 919 \(-1 in targets: unknown\), got 0 to 1000"):
        class_counts([[[0, 0]]], [[[0, 1000]]], 919)


@pytest.mark.parametrize("shapes", [((1, 2, 2), (1, 2, 3)), ((2, 2), (2, 2))])
def test_shapes_must_agree(shapes):
    with pytest.raises(ValueError, match="id maps"):
        class_counts(*map(np.zeros, shapes), 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_classes", [1, 4, 9])
def test_equals_torchmetrics(seed, num_classes):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, num_classes + 1, (6, 5, 7))
    predictions = np.where(rng.random(targets.shape) < 0.6, targets, rng.integers(0, num_classes + 1, targets.shape))
    targets[rng.random(targets.shape) < 0.2] = IGNORE
    metric = MulticlassJaccardIndex(num_classes + 1, average="macro", ignore_index=IGNORE)
    for prediction, target in zip(predictions, targets, strict=True):
        metric.update(torch.tensor(prediction)[None], torch.tensor(target)[None])
    assert miou(predictions, targets, num_classes) == pytest.approx(float(metric.compute()), abs=1e-6)


IDS = hnp.arrays(np.int64, (3, 2, 4), elements=st.integers(0, 3))


@given(IDS, IDS, hnp.arrays(bool, (3, 2, 4)))
def test_bounds_and_what_is_ignored_does_not_matter(predictions, targets, ignored):
    value = miou(predictions, np.where(ignored, IGNORE, targets), 3)
    changed = np.where(ignored, (predictions + 1) % 4, predictions)
    assert miou(changed, np.where(ignored, IGNORE, targets), 3) == pytest.approx(value, nan_ok=True)
    assert ignored.all() or 0 <= value <= 1
    assert (value == 1) == (np.array_equal(predictions[~ignored], targets[~ignored]) and not ignored.all())
