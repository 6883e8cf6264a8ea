import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

from modeling_pm_vit.metrics.multi_label import area_under_roc, average_precision


def drawn(seed: int, images: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and labels of which some are unknown."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, levels, (images, 3)) / levels, rng.choice([0, 1, 1, -100], (images, 3))


@settings(max_examples=40)
@given(seed=st.integers(0, 500), images=st.integers(1, 12), levels=st.sampled_from([2, 5, 1000]))
def test_values_equal_those_of_scikit_learn_with_unknown_labels_left_out(seed, images, levels):
    scores, labels = drawn(seed, images, levels)
    precision, roc = average_precision(scores, labels), area_under_roc(scores, labels)
    weights = np.random.default_rng(seed).integers(0, 3, (2, images))
    weighted = average_precision(scores, labels, weights), area_under_roc(scores, labels, weights)
    for c in range(3):
        known = labels[:, c] >= 0
        truth, ranked = labels[known, c], scores[known, c]
        if truth.any():
            assert precision[c] == pytest.approx(average_precision_score(truth, ranked))
        else:
            assert np.isnan(precision[c])
        if 0 < truth.sum() < len(truth):
            assert roc[c] == pytest.approx(roc_auc_score(truth, ranked))
        else:
            assert np.isnan(roc[c])
        for resample, times in enumerate(weights[:, known]):  # an image that was drawn twice counts twice
            again = np.repeat(truth, times), np.repeat(ranked, times)
            if again[0].any():
                assert weighted[0][resample, c] == pytest.approx(average_precision_score(*again))
            if 0 < again[0].sum() < len(again[0]):
                assert weighted[1][resample, c] == pytest.approx(roc_auc_score(*again))


def test_values_equal_those_of_torchmetrics():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((60, 4)), rng.integers(0, 2, (60, 4))
    arrays = torch.from_numpy(scores), torch.from_numpy(labels)
    precision = multilabel_average_precision(*arrays, num_labels=4, average="none")
    assert average_precision(scores, labels) == pytest.approx(precision.numpy(), abs=1e-6)
    assert area_under_roc(scores, labels) == pytest.approx(
        multilabel_auroc(*arrays, num_labels=4, average="none").numpy(), abs=1e-6
    )


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(n, classes\), got \(2, 3\) and \(2,\)"):
        average_precision(np.zeros((2, 3)), np.zeros(2))
