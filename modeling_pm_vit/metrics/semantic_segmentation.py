"""
Semantic segmentation as ImageNet-S evaluates it (Gao et al., *Large-scale unsupervised semantic segmentation*, 2022).

Every pixel is one of the classes or 'other' (0). IoU of the C + 1 classes from counts over the whole set; pixels marked
as unknown in the truth are dropped from prediction and truth. 'Semantic mIoU': mean over the classes that occur in
either. 'Over all classes': a class that occurs in neither counts as 0, as in the authors' code. Both are equal where
all classes occur, as they do in the whole validation set; on a few images the second is much lower.

The published files mark unknown pixels by 1000, which is a class where there are 1,000 or more; arrays by `IGNORE`.
"""

import numpy as np

from .heatmaps import resized
from .metric import ExplainedImages, Metric, MetricValue, Records, weighted_sum
from .segmentation import foreground

IGNORE = -1


def class_counts(predictions: np.ndarray, targets: np.ndarray, num_classes: int, ignore: int = IGNORE) -> np.ndarray:
    """
    Args:
        predictions, targets: `(n, height, width)` integers: 0 other, 1 ... num_classes; `ignore` in targets only.

    Returns:
        `(n, num_classes + 1, 2)`: for each class the pixels of the intersection and of the union.

    Raises:
        ValueError: if shapes differ or a class is out of range.
    """
    predictions, targets = np.asarray(predictions, int), np.asarray(targets, int)
    if predictions.shape != targets.shape or predictions.ndim != 3:
        raise ValueError(f"expected two id maps (n, height, width), got {predictions.shape} and {targets.shape}.")
    known = targets != ignore
    for name, ids in (("predictions", predictions[known]), ("targets", targets[known])):
        if ids.size and not (ids.min() >= 0 and ids.max() <= num_classes):
            raise ValueError(
                f"{name} must hold 0 ... {num_classes} ({ignore} in targets: unknown), got {ids.min()} to {ids.max()}."
            )
    n, size = len(targets), num_classes + 1
    image = np.broadcast_to(np.arange(n)[:, None, None], targets.shape)

    def count(ids: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.bincount((image * size + ids)[where], minlength=n * size).reshape(n, size)

    common = count(targets, known & (predictions == targets))
    return np.stack([common, count(predictions, known) + count(targets, known) - common], -1)


def _measure(predictions: np.ndarray, targets: np.ndarray, num_classes: int) -> dict[str, np.ndarray]:
    return {"class_counts": class_counts(predictions, targets, num_classes)}


def _has_id_map(images: ExplainedImages) -> np.ndarray:
    return np.array([ids is not None for ids in images.id_maps])


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    """At the images' own sizes, one by one."""
    counts = []
    for row in rows:
        target = images.id_maps[row]
        assert target is not None  # an eligible image has one
        height, width = target.shape
        if images.gives_probabilities:
            predicted = images.class_id_map(row, (height, width))
        else:
            heatmap = resized(images.raw_predicted_maps[row : row + 1], (height, width))[0]
            predicted = np.where(foreground(heatmap[None])[0], images.predicted[row] + 1, 0)
        counts.append(class_counts(predicted[None], target[None], images.logits.shape[1]))
    return {"class_counts": np.concatenate(counts)}


def _summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
    common, union = np.moveaxis(weighted_sum(records["class_counts"], weights), -1, 0)  # (resamples, classes)
    occurs = union > 0
    total = np.where(occurs, common / np.where(occurs, union, 1), 0).sum(1)
    counted = {"semantic_miou": np.maximum(occurs.sum(1), 1), "semantic_miou_all": occurs.shape[1]}
    return {name: np.where(occurs.any(1), total / count, np.nan) for name, count in counted.items()}


SEMANTIC_SEGMENTATION = Metric(
    name="semantic_segmentation",
    title="Semantic segmentation",
    values=(
        MetricValue("semantic_miou", "Semantic mIoU"),
        MetricValue("semantic_miou_all", "Semantic mIoU, all classes"),
    ),
    measure=_measure,
    summarize=_summarize,
    features={"predictions": (2, "int32"), "targets": (2, "int32")},
    variant="IoU over the classes and 'other' from counts over the whole set, at the images' own sizes, ignored pixels "
    "dropped; mean over the classes that occur, and over all classes of the model and 'other', absent ones as 0 (as in "
    "the authors' code). Probability maps of all classes: the most probable class of a pixel if it reaches 0.5, else "
    "other. Other explainers: the predicted class where its map exceeds its mean.",
    eligible=_has_id_map,
    needs="masks that are maps of class ids (--mask_encoding class_id or imagenet_s)",
    record=_record,
)
