"""
Parameter-randomisation sanity check (Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018).

The model's parameters are replaced by random ones, cascading from the classifier down to the embeddings; a map that
explains the model must change. Variant: three stages of the cascade (the classifier; also the upper half of the blocks
and the final norm; everything). The value is the Spearman rank correlation of the maps' absolute values before and
after, 1 for a map that does not change in order. A constant map correlates with nothing: 0.
"""

import numpy as np
from scipy.stats import rankdata

from .heatmaps import checked_heatmaps
from .metric import ExplainedImages, Metric, MetricValue, Records, means

STAGES = ("classifier", "upper_half", "everything")


def rank_correlation(heatmaps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's, of the absolute values of maps `(n, height, width)` and of others of the same shape: `(n,)`."""
    heatmaps, others = checked_heatmaps(heatmaps), checked_heatmaps(others)
    if heatmaps.shape != others.shape:
        raise ValueError(f"expected two arrays of one shape, got {heatmaps.shape} and {others.shape}.")
    ranks = [rankdata(np.abs(maps).reshape(len(maps), -1), axis=1) for maps in (heatmaps, others)]
    ranks = [r - r.mean(1, keepdims=True) for r in ranks]
    scale = np.sqrt((ranks[0] ** 2).sum(1) * (ranks[1] ** 2).sum(1))
    return np.where(scale > 0, (ranks[0] * ranks[1]).sum(1) / np.where(scale > 0, scale, 1), 0.0)


def _measure(heatmaps: np.ndarray, **randomized: np.ndarray) -> dict[str, np.ndarray]:
    return {f"after_{stage}": rank_correlation(heatmaps, randomized[stage]) for stage in STAGES}


def _record(images: ExplainedImages, rows: np.ndarray) -> Records:
    after = {stage: images.explain(rows, images.labels[rows], randomized=stage) for stage in STAGES}
    return _measure(images.raw_maps[rows], **after)


RANDOMIZATION = Metric(
    name="randomization",
    title="Parameter randomisation",
    values=tuple(
        MetricValue(f"after_{stage}", f"Rank correlation, {title} randomised", higher_is_better=False, scale=1)
        for stage, title in zip(STAGES, ("classifier", "upper half", "everything"), strict=True)
    ),
    measure=_measure,
    summarize=means(*(f"after_{stage}" for stage in STAGES)),
    features=dict.fromkeys(("heatmaps", *STAGES), (2, "float32")),
    variant="Cascading randomisation, evaluated at three stages: classifier; also the upper half of the blocks and the "
    "final norm; everything. Spearman's correlation of the absolute values, on the method's own grid. Low is sound: a "
    "map that stays the same does not explain the model.",
    record=_record,
)
