"""
Balanced accuracy (mean recall of the classes) and macro F1, which count each class equally, however rare it is. Their
records, the logits of each image, are what [`class_report`] makes the values of each class of.
"""

import numpy as np

from .metric import ExplainedImages, Metric, MetricValue, Records, weighted_sum


def _measure(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {"logits": np.asarray(logits, np.float32), "labels": np.asarray(labels, np.int64)}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    return _measure(images.logits[rows], images.labels[rows])


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    classes = np.arange(records["logits"].shape[1])
    truth = records["labels"][:, None] == classes
    said = records["logits"].argmax(1)[:, None] == classes
    both, images, named = (weighted_sum(part, weights) for part in (truth & said, truth, said))
    known, either = images > 0, images + named
    recall = np.divide(both, images, out=np.full(both.shape, np.nan), where=known)
    f1 = np.divide(2 * both, either, out=np.full(both.shape, np.nan), where=known)
    return {"balanced_accuracy": _mean(recall), "macro_f1": _mean(f1)}


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the classes that have images: `(resamples,)` from `(resamples, classes)`; NaN if none has."""
    known = np.isfinite(values)
    count = known.sum(1)
    return np.divide(np.where(known, values, 0).sum(1), count, out=np.full(len(values), np.nan), where=count > 0)


PER_CLASS = Metric(
    name="per_class",
    title="Classification, each class equally",
    values=(MetricValue("balanced_accuracy", "Balanced accuracy"), MetricValue("macro_f1", "Macro F1")),
    measure=_measure,
    summarize=_summarize,
    features={"logits": (1, "float32"), "labels": (0, "int32")},
    variant="Balanced accuracy: mean over the classes of the share of their images that are recognised. Macro F1: mean "
    "of the harmonic means of precision and recall. Classes without an image do not count. The table at the head of "
    "the report has the values of each class.",
    record=_record,
    needs_explainer=False,
)
