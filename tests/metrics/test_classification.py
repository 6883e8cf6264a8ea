import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from modeling_pm_vit.metrics.classification import CLASSIFICATION, top_k_hits


def test_ties_go_to_the_lower_index():
    logits = np.array([[1.0, 3.0, 3.0, 2.0]] * 4)
    assert top_k_hits(logits, np.arange(4), 1).tolist() == [0, 1, 0, 0]
    assert top_k_hits(logits, np.arange(4), 2).tolist() == [0, 1, 1, 0]
    assert top_k_hits(logits, np.arange(4), 3).tolist() == [0, 1, 1, 1]
    assert top_k_hits(logits, np.arange(4), 5).tolist() == [1] * 4  # fewer classes than k


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_and_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(200, 8)) * 2, rng.integers(0, 8, 200)
    values = CLASSIFICATION.compute(logits=logits, labels=labels)
    assert values["top1"] == pytest.approx(top_k_accuracy_score(labels, logits, k=1, labels=range(8)), abs=1e-12)
    assert values["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=range(8)), abs=1e-12)
    error = multiclass_calibration_error(
        torch.tensor(logits), torch.tensor(labels), num_classes=8, n_bins=15, norm="l1"
    )
    assert values["calibration_error"] == pytest.approx(float(error), abs=1e-6)


def test_calibration_by_hand():
    # Confidences e / (e + 1) = .7311 (right, then wrong) and .5 (right, the tie going to class 0).
    values = CLASSIFICATION.compute(logits=[[1.0, 0.0], [1.0, 0.0], [2.0, 2.0]], labels=[0, 1, 0])
    confident = np.e / (np.e + 1)
    assert values["calibration_error"] == pytest.approx((abs(2 * confident - 1) + 0.5) / 3, abs=1e-12)
    assert values["top1"] == pytest.approx(2 / 3)


def test_large_logits_do_not_overflow():
    values = CLASSIFICATION.compute(logits=[[1e4, -1e4], [-1e4, 1e4]], labels=[0, 0])
    assert values == {"top1": 0.5, "top5": 1.0, "calibration_error": 0.5}


@pytest.mark.parametrize(
    ("logits", "labels"), [([[0, 0]], [2]), ([[0, 0]], [-1]), ([[0, 0]], [0, 1]), ([[0, 0]], [[0]]), ([0.0], [0])]
)
def test_labels_that_do_not_fit_are_refused(logits, labels):
    with pytest.raises(ValueError, match="labels"):
        top_k_hits(logits, labels, 1)


def test_logits_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="nan"):
        CLASSIFICATION.compute(logits=[[0.0, np.nan]], labels=[0])


@given(hnp.arrays(np.int8, (6, 7)), hnp.arrays(np.int64, 6, elements=st.integers(0, 6)), st.integers(1, 8))
def test_hits_depend_on_the_order_alone_and_grow_with_k(logits, labels, k):
    hits = top_k_hits(logits, labels, k)
    assert np.array_equal(hits, top_k_hits(np.exp(logits / 64.0) * 3 - 5, labels, k))
    assert (hits <= top_k_hits(logits, labels, k + 1)).all()
    assert np.array_equal(top_k_hits(logits, labels, 1), labels == logits.argmax(1))
