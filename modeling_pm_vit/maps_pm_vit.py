"""
From patches to the image: where they lie in it, maps of any size, and the masks, areas and boxes of these.

Needs numpy alone, so that a server without torch gives the same answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any, NamedTuple

import numpy as np

from .components_pm_vit import Box, connected_parts, largest_box

MapSize = int | str | tuple[int, int] | None

STRIPE = 2**20  # values of a map that are computed at a time


@dataclass(frozen=True)
class Placement:
    """
    Where an image lies in the input of the model. All are (height, width) in pixels.

    Args:
        size: of the image.
        resized: its size in the input.
        offset: of its upper left corner in the input; negative if it is cropped.
        area: of the input that the model sees of it, from the upper left corner.
        padded: size of the input, which the patches cover.
    """

    size: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    area: tuple[int, int]
    padded: tuple[int, int]


class Region(NamedTuple):
    """
    Where a class is: the box of the largest part, the share of the image, the highest probability, the mask, and, if it
    was asked for, the map.
    """

    box: Box | None
    area: float
    max_probability: float
    mask: np.ndarray
    heatmap: np.ndarray | None = None


class Instance(NamedTuple):
    """A connected part of the mask of a class: its box, its area in pixels, the mean probability of these."""

    box: Box
    area: int
    score: float


def box_record(box: Box) -> dict[str, int]:
    """A box for JSON."""
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))


def instance_records(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """Connected parts for JSON."""
    return [{"box": box_record(one.box), "area": one.area, "score": one.score} for one in instances]


def check_threshold(threshold: float) -> float:
    """Raises ValueError if a threshold is not a probability."""
    number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if not number or not isfinite(threshold) or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a probability, a number in 0 ... 1, got {threshold!r}.")
    return threshold


def size_of_maps(map_size: MapSize, placement: Placement, grid: tuple[int, int]) -> tuple[int, int]:
    """
    The (height, width) of maps of the whole image.

    Args:
        map_size: `None`: as the image; `"grid"`: a value per patch; a number: the longer side, at most that of the
            image; or (height, width).
        grid: rows and columns of patches.

    Raises:
        ValueError: if `map_size` is something else.
    """
    if map_size is None:
        return placement.size
    if isinstance(map_size, str) and map_size == "grid":
        height, width = (
            max(1, round(side * count / whole))
            for side, count, whole in zip(placement.resized, grid, placement.padded, strict=True)
        )
        return height, width
    sides = [map_size] if isinstance(map_size, int) else list(map_size) if isinstance(map_size, (tuple, list)) else []
    if len(sides) not in (1, 2) or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError(
            f"map_size must be None, 'grid', the longer side in pixels, or (height, width), got {map_size!r}."
        )
    if len(sides) == 2:
        return sides[0], sides[1]
    scale = min(1.0, sides[0] / max(placement.size))
    height, width = (max(1, round(side * scale)) for side in placement.size)
    return height, width


def enlarged(maps: np.ndarray, placement: Placement, size: tuple[int, int] | None = None) -> np.ndarray:
    """
    Maps of the whole image, interpolated bilinearly; zero where the model did not see it.

    Args:
        maps: `(K, rows, columns)`, a value per patch, float32.
        size: (height, width) of the result; by default that of the image.
    """
    size = size or placement.size
    result = np.empty((len(maps), *size), np.float32)
    for rows, stripe in _stripes(maps, placement, size):
        result[:, rows] = stripe
    return result


def find_region(patches: np.ndarray, placement: Placement, threshold: float, keep_map: bool = False) -> Region:
    """
    Where the map of one class reaches the threshold, at the size of the image. It is made one stripe at a time.

    Args:
        patches: `(rows, columns)`, the probability at each patch, float32.
        keep_map: whether to return the map too, 4 bytes per pixel.
    """
    mask, highest = np.empty(placement.size, bool), 0.0
    heatmap = np.empty(placement.size, np.float32) if keep_map else None
    for rows, stripe in _stripes(patches[None], placement, placement.size):
        highest = max(highest, float(stripe.max()))
        mask[rows] = stripe[0] >= threshold
        if heatmap is not None:
            heatmap[rows] = stripe[0]
    area = np.count_nonzero(mask) / mask.size
    return Region(largest_box(mask), area, highest, mask, heatmap)


def find_instances(
    patches: np.ndarray, placement: Placement, threshold: float, mask: np.ndarray, most: int, min_area: int = 1
) -> list[Instance]:
    """
    The connected parts of the mask of one class, the largest first.

    Args:
        patches, placement, threshold: as for [`find_region`].
        mask: that it found.
        most: so many of them.
        min_area: leave out parts of fewer pixels.
    """
    parts = connected_parts(mask, min_area, most)
    sums = np.zeros(len(parts.areas) + 1)
    for rows, stripe in _stripes(patches[None], placement, placement.size) if parts.areas else ():
        sums += np.bincount(parts.numbers[rows].ravel(), stripe[0].ravel(), len(sums))
    return [
        Instance(box, area, float(total / area))
        for box, area, total in zip(parts.boxes, parts.areas, sums[1:], strict=True)
    ]


def _stripes(maps: np.ndarray, placement: Placement, size: tuple[int, int]) -> Iterator[tuple[slice, np.ndarray]]:
    """The rows of the enlarged maps `(K, rows, width)`, in their order."""
    height, width = size
    top, bottom, down, seen_rows = _neighbours(placement, 0, maps.shape[1], height)
    left, right, across, seen_columns = _neighbours(placement, 1, maps.shape[2], width)
    columns = _between(maps.take(left, 2), maps.take(right, 2), across) * seen_columns  # (K, rows of patches, width)
    step = max(1, STRIPE // max(1, len(maps) * width))
    for row in range(0, height, step):
        rows = slice(row, min(row + step, height))
        stripe = _between(columns.take(top[rows], 1), columns.take(bottom[rows], 1), down[rows, None])
        stripe *= seen_rows[rows, None]
        yield rows, stripe


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """From `first`, for the weight 0, to `second`, for 1, which is overwritten."""
    second -= first
    second *= weight
    second += first
    return second


def _neighbours(
    placement: Placement, axis: int, patches: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each of `length` places along an axis: the patches before and after, the weight of the latter, and 1 or 0."""
    resized, offset, patch = placement.resized[axis], placement.offset[axis], placement.padded[axis] / patches
    pixel = (np.arange(length) + 0.5) * (resized / length) + offset  # in the input of the model
    seen = (pixel > 0) & (pixel < placement.area[axis])
    # Patches that show nothing but padding have no part in the image.
    first, last = max(0, floor(offset / patch)), min(patches, ceil((offset + resized) / patch)) - 1
    place = (pixel / patch - 0.5).clip(first, last)
    before = place.astype(np.int64)
    after = (before + 1).clip(max=last)
    return before, after, (place - before).astype(np.float32), seen.astype(np.float32)


__all__ = [
    "Box",
    "Instance",
    "MapSize",
    "Placement",
    "Region",
    "box_record",
    "check_threshold",
    "enlarged",
    "find_instances",
    "find_region",
    "instance_records",
    "largest_box",
    "size_of_maps",
]
