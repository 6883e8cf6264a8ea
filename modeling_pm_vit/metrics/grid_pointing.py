"""
Grid pointing game (GridPG; Böhle et al., *Convolutional dynamic alignment networks*, CVPR 2021): class-dependence.

Correctly classified images of different classes, each with the highest confidence in its class, are laid out as a grid
of 2 x 2 or 3 x 3; the class of every cell is explained in turn. The value is the share of the map's positive mass in
the correct cell. Chance is 1 / cells. The grid keeps every image at its size (a 2 x 2 grid is twice as wide and high;
position embeddings are interpolated).

Two variants. `grid_2x2` and `grid_3x3`: the images of a class are taken in turn, by falling probability, as often as
grids need them; a map without positive mass scores chance. `grid_2x2_bcos` and `grid_3x3_bcos` are the protocol of the
B-cos networks (Böhle et al., CVPR 2022 and TPAMI 2024): an image is used once, by falling logit, and only if the
sigmoid of its logit exceeds 0.5; maps are smoothed by a mean filter of 15 x 15 pixels, with their sign; a map without
positive mass scores 0. Numbers published for B-cos networks are of 500 grids of this kind.
"""

import numpy as np
import torch
from torch import nn

from .heatmaps import checked_heatmaps
from .metric import GridDesign, Metric, MetricValue, Records, means

_SMOOTHING = 15  # pixels


def cell_share(heatmaps: np.ndarray, cells: np.ndarray, side: int, empty: float | None = None) -> np.ndarray:
    """
    Args:
        heatmaps: `(n, height, width)` of grids of `side` x `side` images; `side` divides height and width.
        cells: `(n,)` the explained cell, counted row by row from 0.
        empty: the value of a map without positive mass (default: chance).

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
    return np.where(total > 0, share, 1 / side**2 if empty is None else empty)


def smoothed(heatmaps: np.ndarray, width: int = _SMOOTHING) -> np.ndarray:
    """Mean filter of `width` x `width` pixels (odd) over maps `(n, height, width)`, zeros beyond the border."""
    maps = torch.as_tensor(checked_heatmaps(heatmaps))[:, None]
    return nn.functional.avg_pool2d(maps, width, stride=1, padding=width // 2)[:, 0].numpy()


def choose_grids(labels: np.ndarray, confidence: np.ndarray, side: int, count: int, seed: int = 0) -> np.ndarray:
    """
    Args:
        labels, confidence: `(n,)` class and probability of correctly classified images.
        side: of the grid.
        count: of grids.
        seed: of the choice of classes.

    Returns:
        `(count, side ** 2)` indices of images: classes drawn at random, all different within a grid; for each class its
        images in turn, the most confident first. `(0, side ** 2)` for fewer than `side ** 2` classes.
    """
    candidates = _by_class(labels, confidence)
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


def choose_bcos_grids(labels: np.ndarray, logits: np.ndarray, side: int, count: int) -> np.ndarray:
    """
    The grids of the B-cos protocol, which draws classes with a seed of its own while more than `side ** 2` of them have
    an unused image, and lays the images out column by column. Between two grids one of the drawn images is left out.

    Args:
        labels, logits: `(n,)` class and its logit of correctly classified images.
        side: of the grid.
        count: of grids.

    Returns:
        `(grids, side ** 2)` indices of images, row by row; as many grids as there can be, at most `count`.
    """
    labels = np.asarray(labels)
    confident = torch.as_tensor(np.asarray(logits, np.float32)).sigmoid().numpy() > 0.5
    unused = {c: [i for i in images if confident[i]] for c, images in _by_class(labels, logits).items()}
    generator = np.random.RandomState(42)
    drawn: list[int] = []
    while len(classes := sorted(c for c, images in unused.items() if images)) > side**2:
        drawn += [unused[c].pop(0) for c in generator.choice(classes, size=side**2, replace=False).tolist()]
    grids: list[list[int]] = []
    grid: list[int] = []
    images = iter(drawn)
    for image in images:
        if len(grids) == count:
            break
        if labels[image] in labels[grid]:
            continue
        grid.append(image)
        if len(grid) == side**2:
            grids.append(grid)
            grid = []
            next(images, None)
    return np.array(grids, int).reshape(-1, side, side).swapaxes(1, 2).reshape(-1, side**2)


def _by_class(labels: np.ndarray, confidence: np.ndarray) -> dict[int, list[int]]:
    """The images of each class, the most confident first."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    return {c: [i for i in order.tolist() if labels[i] == c] for c in np.unique(labels).tolist()}


def lay_out(pixel_values: torch.Tensor, side: int) -> torch.Tensor:
    """Images `(side ** 2, channels, height, width)`, row by row, as one `(channels, side height, side width)`."""
    rows = [torch.cat(list(pixel_values[r * side : (r + 1) * side]), dim=-1) for r in range(side)]
    return torch.cat(rows, dim=-2)


def grid_metric(side: int) -> Metric:
    """The metric for grids of `side` x `side`."""
    name = f"grid_{side}x{side}"

    def choose(labels: np.ndarray, classified: Records, count: int, seed: int) -> np.ndarray:
        return choose_grids(labels, classified["confidence"], side, count, seed)

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
        grid=GridDesign(side, choose),
        needs=f"{side**2} classes with a correctly classified image",
        options=("num_grids",),
    )


def bcos_grid_metric(side: int) -> Metric:
    """The metric for grids of `side` x `side`, as B-cos networks are evaluated."""
    name = f"grid_{side}x{side}_bcos"

    def choose(labels: np.ndarray, classified: Records, count: int, seed: int) -> np.ndarray:
        return choose_bcos_grids(labels, classified["logit"], side, count)

    return Metric(
        name=name,
        title=f"Grid pointing game {side} x {side}, B-cos protocol",
        values=(MetricValue(name, f"GridPG {side}x{side} (B-cos)"),),
        measure=lambda heatmaps, cells: {name: cell_share(smoothed(heatmaps), cells, side, empty=0.0)},
        summarize=means(name),
        features={"heatmaps": (2, "float32"), "cells": (0, "int32")},
        variant=f"{side} x {side} correctly classified images of different classes, each used once, by falling logit, "
        "sigmoid of the logit above 0.5, at their full size; maps (of patches: enlarged bilinearly) smoothed by a mean "
        f"filter of {_SMOOTHING} x {_SMOOTHING} pixels; share of a class's positive mass in its own cell; chance "
        f"{100 / side**2:.1f}. Published with 500 grids (--num_grids). Resampled by cells.",
        grid=GridDesign(side, choose),
        needs=f"more than {side**2} classes with a correctly classified image whose logit is positive",
        options=("num_grids",),
    )


GRID_2X2, GRID_3X3 = grid_metric(2), grid_metric(3)
GRID_2X2_BCOS, GRID_3X3_BCOS = bcos_grid_metric(2), bcos_grid_metric(3)
