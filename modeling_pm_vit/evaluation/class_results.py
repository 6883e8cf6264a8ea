"""The head of a report: what the classifier and PM-ViT's maps do for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..metrics.class_report import class_report
from ..metrics.classification import CLASSIFICATION
from ..metrics.per_class import PER_CLASS
from ..metrics.segmentation import SEGMENTATION
from ..reporting.class_summary import Summary, class_summary
from ..reporting.confusion_matrix import write_confusion_matrix
from .evaluator import Evaluator

_OURS = "pm-vit"


def class_results(evaluator: Evaluator, folder: Path, names: Sequence[str], specificity: float) -> Summary:
    """
    The summary of an evaluation that has run; its maps are those of PM-ViT, where they were evaluated on masks. Writes
    the confusion matrix into the folder.
    """
    scores, first = evaluator.records(PER_CLASS.name), evaluator.records(CLASSIFICATION.name)
    assert scores is not None and first is not None  # always recorded
    report = class_report(scores["logits"], scores["labels"], specificity)
    assert report.confusion is not None  # each image has one class
    write_confusion_matrix(folder, report.confusion, names)
    maps = evaluator.records(SEGMENTATION.name, _OURS)
    overlaps = np.full(len(scores["labels"]), np.nan)
    if maps is not None:
        overlaps[maps["image"]] = maps["mask_iou"]
    recognised = scores["logits"].argmax(1) == scores["labels"]
    return class_summary(report, names, overlaps, scores["labels"], recognised, first["top5"].mean())
