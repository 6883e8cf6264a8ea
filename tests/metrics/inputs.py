"""Random inputs for every metric, from what it declares; a new metric is swept without a change here."""

from inspect import signature
from typing import Any

import numpy as np

from modeling_pm_vit.metrics.metric import Metric
from modeling_pm_vit.metrics.semantic_segmentation import IGNORE

N, H, W = 7, 6, 12  # images; sizes that 2 and 3 divide
_SHAPES = {0: (N,), 1: (N, 10), 2: (N, H, W), 3: (N, 2, H, W)}


def random_inputs(metric: Metric, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs of `measure` with one image per row, some of them degenerate, and inputs that belong to no image."""
    rng = np.random.default_rng(seed)
    heatmaps = rng.random((N, H, W))
    heatmaps[0], heatmaps[1, 0, 0], heatmaps[2] = 0.25, np.nan, heatmaps[2].round(1)
    masks, ignore, objects = rng.random((3, N, H, W)) < 0.3
    masks[3] = False
    corners = rng.integers(0, 5, (N, 2, 4))
    boxes = [np.hstack([c[:, :2], c[:, :2] + c[:, 2:]])[: 1 + i % 2] for i, c in enumerate(corners)]
    predictions, targets = rng.integers(0, 4, (2, N, H, W))
    targets[ignore] = IGNORE
    special = {
        "heatmaps": heatmaps,
        "masks": masks,
        "objects": objects,
        "boxes": boxes,
        "correct": rng.integers(0, 2, N),
        "labels": rng.integers(0, 9, N),
        "cells": rng.integers(0, (metric.grid.side if metric.grid else 1) ** 2, N),
        "predictions": predictions,
        "targets": targets,
    }
    inputs = {
        name: special[name] if name in special else rng.random(_SHAPES[rank])
        for name, (rank, _) in metric.features.items()
    }
    optional = {"ignore": ignore} if "ignore" in signature(metric.measure).parameters else {}
    return inputs | optional, {"num_classes": 4} if "num_classes" in signature(metric.measure).parameters else {}
