"""
Top-1 and top-5 accuracy of the classifier, and its calibration.

Calibration: expected calibration error of the top-1 probability over 15 bins of equal width (Guo et al., *On
calibration of modern neural networks*, 2017).
"""

import numpy as np

from .calibration import bin_sums, calibration_error
from .metric import ExplainedImages, Metric, MetricValue, Records, weighted_mean


def top_k_hits(logits: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """
    Args:
        logits: `(n, classes)`.
        labels: `(n,)`.

    Returns:
        `(n,)`, 1 where fewer than k classes rank before the label, else 0. Classes with a higher logit rank before it,
        and those with an equal logit and a lower index.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"expected logits (n, classes) and n labels, got {logits.shape} and {labels.shape}.")
    if len(labels) and not (labels.min() >= 0 and labels.max() < logits.shape[1]):
        raise ValueError(f"labels must lie in 0 ... {logits.shape[1] - 1}, got {labels.min()} to {labels.max()}.")
    own = np.take_along_axis(logits, labels[:, None], 1)
    before = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    return (before.sum(1) < k).astype(float)


def _measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    logits = np.asarray(logits, np.float64)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    confidence = odds.max(1) / odds.sum(1)
    top1 = top_k_hits(logits, labels, 1)
    return {
        "top1": top1,
        "top5": top_k_hits(logits, labels, 5),
        "confidence": confidence,
        "logit": logits.max(1),
        "bins": bin_sums(confidence[:, None], top1[:, None]),
    }


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.logits[rows], images.labels[rows])


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "top1": weighted_mean(records["top1"], weights),
        "top5": weighted_mean(records["top5"], weights),
        "calibration_error": calibration_error(records["bins"], weights),
    }


CLASSIFICATION = Metric(
    name="classification",
    title="Classification",
    values=(
        MetricValue("top1", "Top-1"),
        MetricValue("top5", "Top-5"),
        MetricValue("calibration_error", "Calibration error", higher_is_better=False),
    ),
    measure=_measure,
    summarize=_summarize,
    features={"logits": (1, "float32"), "labels": (0, "int32")},
    variant="Expected calibration error of the top-1 probability (softmax), 15 bins of equal width.",
    record=_record,
    needs_explainer=False,
)
