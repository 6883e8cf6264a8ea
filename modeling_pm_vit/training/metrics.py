"""How well classes and maps agree with the truth, over a whole evaluation set."""

import numpy as np
from transformers import EvalPrediction

from ..evaluation.masks import intersection_over_union
from ..evaluation.pointing import energy_inside
from ..image_processing_pm_vit import IGNORE


def explanation_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    `accuracy` (top-1), `loss` and its terms `classification_loss` and `mask_loss`, means over the images; and over
    those that have a mask of their own class, on the grid of patches: `patch_iou`, the mean intersection over union of
    'probability at least 0.5' with 'covered at least by half', and `energy_inside`, the mean share of the map's mass in
    patches covered at least by half, where there is one. Patches whose mask is unknown count for neither.

    Args:
        prediction: its `predictions` are the predicted classes `(n,)`, the maps of the true classes `(n, h, w)`, and
            the three losses `(n, 3)`, whose sums over n are those over all images; its `label_ids` the labels
            `(n,)`, -100 for a blank, and the masks of the true classes `(n, h, w)`, -100 where unknown.
    """
    predicted, maps, losses = prediction.predictions
    labels, mask_labels = prediction.label_ids
    real = labels != IGNORE
    metrics = {"accuracy": float((predicted == labels)[real].mean())}
    sums = losses.astype(np.float64).sum(0) / real.sum()
    metrics |= dict(zip(("loss", "classification_loss", "mask_loss"), sums.tolist(), strict=True))
    known = mask_labels != IGNORE
    masked = known.any((-2, -1)) & real
    if masked.any():
        covered, shown = mask_labels[masked] >= 0.5, maps[masked] * known[masked]
        metrics["patch_iou"] = float(np.mean(intersection_over_union(shown >= 0.5, covered)))
        if covered.any():
            metrics["energy_inside"] = float(np.nanmean(energy_inside(shown, covered)))
    return metrics
