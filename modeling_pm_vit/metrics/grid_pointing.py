"""
Grid pointing game (GridPG; Böhle et al., *Convolutional dynamic alignment networks*, CVPR 2021): class-dependence.

Correctly classified images of different classes, each with the highest confidence in its class, are laid out as a grid
of 2 x 2 or 3 x 3; the class of every cell is explained in turn. The value is the share of the map's positive mass in
the correct cell. Chance is 1 / cells. Variant: the grid keeps every image at its size (a 2 x 2 grid is twice as wide
and high; position embeddings are interpolated), and a map without positive mass scores chance.
"""

import numpy as np
import torch

from .heatmaps import checked_heatmaps
from .metric import Metric, MetricValue, means


def cell_share(heatmaps: np.ndarray, cells: np.ndarray, side: int) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)` of grids of `side` x `side` images; `side` divides height and width.
        cells: `(n,)` the explained cell, counted row by row from 0.

    Returns:
        `(n,)` in [0, 1].

    Raises:
        ValueError: if `side` does not divide the map, or a cell lies outside the grid.
    """
    heatmaps, cells = checked_heatmaps(heatmaps), np.asarray(cells)
    n, height, width = heatmaps.shape
    if height % side or width % side:
        raise ValueError(f"a grid of {side} x {side} cells does not divide maps of {height} x {width}.")
    if cells.shape != (n,) or (n and not (cells.min() >= 0 and cells.max() < side**2)):
        raise ValueError(f"expected {n} cells in 0 ... {side**2 - 1}, got {cells.tolist()}.")
    mass = np.maximum(heatmaps, 0).reshape(n, side, height // side, side, width // side).sum((2, 4))
    mass = mass.reshape(n, side**2)
    total = mass.sum(1)
    share = mass[np.arange(n), cells] / np.where(total > 0, total, 1)
    return np.where(total > 0, share, 1 / side**2)


def choose_grids(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, side: int, count: int, seed: int = 0
) -> np.ndarray:
    """
    Args:
        labels, predicted, confidence: `(n,)` true class, predicted class and its probability, for each image.
        side: of the grid.
        count: of grids.
        seed: of the choice of classes.

    Returns:
        `(count, side ** 2)` indices of images: classes drawn at random, all different within a grid; for each class the
        correctly classified images in turn, the most confident first. `(0, side ** 2)` where fewer than `side ** 2`
        classes have a correctly classified image.
    """
    labels, predicted, confidence = np.asarray(labels), np.asarray(predicted), np.asarray(confidence)
    order = np.argsort(-confidence, kind="stable")
    order = order[labels[order] == predicted[order]]
    candidates = {int(c): [int(i) for i in order if labels[i] == c] for c in np.unique(labels[order])}
    if len(candidates) < side**2:
        return np.zeros((0, side**2), int)
    rng = np.random.default_rng(seed)
    used = dict.fromkeys(candidates, 0)
    grids = []
    for _ in range(count):
        grid = []
        for c in rng.choice(sorted(candidates), size=side**2, replace=False).tolist():
            grid.append(candidates[c][used[c] % len(candidates[c])])
            used[c] += 1
        grids.append(grid)
    return np.array(grids, int).reshape(count, side**2)


def lay_out(pixel_values: torch.Tensor, side: int) -> torch.Tensor:
    """Images `(side ** 2, channels, height, width)`, row by row, as one `(channels, side height, side width)`."""
    rows = [torch.cat(list(pixel_values[r * side : (r + 1) * side]), dim=-1) for r in range(side)]
    return torch.cat(rows, dim=-2)


def grid_metric(side: int) -> Metric:
    """The metric for grids of `side` x `side`."""
    name = f"grid_{side}x{side}"
    return Metric(
        name=name,
        title=f"Grid pointing game {side} x {side}",
        values=(MetricValue(name, f"GridPG {side}x{side}"),),
        measure=lambda heatmaps, cells: {name: cell_share(heatmaps, cells, side)},
        summarize=means(name),
        features={"heatmaps": (2, "float32"), "cells": (0, "int32")},
        variant=f"{side} x {side} correctly classified images of different classes, the most confident of each "
        "class, at their full size; share of a class's positive map mass in its own cell; chance "
        f"{100 / side**2:.1f}. Resampled by cells.",
        grid_side=side,
    )


GRID_2X2, GRID_3X3 = grid_metric(2), grid_metric(3)
