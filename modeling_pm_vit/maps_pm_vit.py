"""From patches to the image: where they lie in it, maps of any size, and the masks, areas and boxes of these."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import NamedTuple

import numpy as np
import torch
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.image_utils import SizeDict

Box = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels, ends exclusive
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
    """Where a class is: the box of the largest part, the share of the image, the highest probability, and the mask."""

    box: Box | None
    area: float
    max_probability: float
    mask: np.ndarray


def check_threshold(threshold: float) -> float:
    """Raises ValueError if a threshold is not a probability."""
    number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if not number or not isfinite(threshold) or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a probability, a number in 0 ... 1, got {threshold!r}.")
    return threshold


def resized_size(image_size: tuple[int, int], size: SizeDict, patch: tuple[int, int], cropped: bool) -> tuple[int, int]:
    """
    The (height, width) to which an image is resized. If its proportions are kept, and it is not cropped afterwards, the
    sides are rounded to multiples of the patch size.

    Args:
        image_size: its (height, width).
        size: as the processors of transformers take it: `height` and `width`; or one or both of `shortest_edge` and
            `longest_edge`; or `max_height` and `max_width`; or `min_pixels` and `max_pixels`.
    """
    if size.height and size.width:
        return size.height, size.width
    if cropped and size.shortest_edge:
        height, width = get_size_with_aspect_ratio(image_size, size.shortest_edge, size.longest_edge)
        return height, width
    pixels, longest = image_size[0] * image_size[1], size.longest_edge or sys.maxsize
    most = (size.max_height or longest, size.max_width or longest)
    scale = min(most[0] / image_size[0], most[1] / image_size[1])
    if size.shortest_edge:
        scale = min(scale, size.shortest_edge / min(image_size))
    if size.max_pixels:
        scale = (min(max(pixels, size.min_pixels or 0), size.max_pixels) / pixels) ** 0.5
        most = (size.max_pixels // patch[1], size.max_pixels // patch[0])  # of a strip of patches
    if scale >= sys.maxsize / max(image_size):
        raise ValueError(f"size must give height and width, an edge, or numbers of pixels, got {size}.")
    step = (1, 1) if cropped else patch
    height, width = (
        max(1, min(round(side * scale / one), limit // one)) * one
        for side, limit, one in zip(image_size, most, step, strict=True)
    )
    return height, width


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


def enlarged(maps: torch.Tensor, placement: Placement, size: tuple[int, int] | None = None) -> torch.Tensor:
    """
    Maps of the whole image, interpolated bilinearly; zero where the model did not see it.

    Args:
        maps: `(K, rows, columns)`, a value per patch, float32 on the CPU.
        size: (height, width) of the result; by default that of the image.
    """
    size = size or placement.size
    result = torch.empty(len(maps), *size)
    for rows, stripe in _stripes(maps, placement, size):
        result[:, rows] = stripe
    return result


def find_region(patches: torch.Tensor, placement: Placement, threshold: float) -> Region:
    """
    Where the map of one class reaches the threshold, at the size of the image. It is made one stripe at a time.

    Args:
        patches: `(rows, columns)`, the probability at each patch, float32 on the CPU.
    """
    mask, highest = np.empty(placement.size, bool), 0.0
    for rows, stripe in _stripes(patches[None], placement, placement.size):
        highest = max(highest, float(stripe.max()))
        mask[rows] = stripe[0] >= threshold
    area = np.count_nonzero(mask) / mask.size
    return Region(largest_box(mask), area, highest, mask)


def largest_box(mask: np.ndarray) -> Box | None:
    """
    The box around the largest connected part of a boolean mask (by area, 8-connectivity).

    Returns xmin, ymin, xmax, ymax, ends exclusive; `None` for an empty mask.

    Example:
        >>> mask = np.zeros((6, 8), bool)
        >>> mask[1:3, 2:7] = True  # the largest part
        >>> mask[5, 0] = True
        >>> largest_box(mask)
        (2, 1, 7, 3)
    """
    if mask.shape[0] > mask.shape[1]:  # fewer and longer rows, so fewer runs
        box = largest_box(mask.T)
        return box and (box[1], box[0], box[3], box[2])
    # Runs of set pixels along rows, each from `begin` to `end`, which count pixels through rows with a margin. Two runs
    # of neighbouring rows touch if one, moved by a row, begins at the latest where the other ends.
    height, width = mask.shape[0], mask.shape[1] + 2
    step = max(1, STRIPE // width)
    changes = [
        np.flatnonzero(np.diff(np.pad(mask[row : row + step], ((0, 0), (1, 1))).ravel())) + row * width + 1
        for row in range(0, height, step)
    ]
    begin, end = np.concatenate(changes).reshape(-1, 2).T if changes else np.zeros((2, 0), int)
    if not len(begin):
        return None
    first = np.searchsorted(end, begin - width)
    counts = np.searchsorted(begin, end - width, side="right") - first
    below = np.repeat(np.arange(len(begin)), counts)
    above = np.arange(len(below)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    part = _connected(len(begin), above, below)
    run = part == np.bincount(part, weights=end - begin).argmax()
    rows = begin[run] // width
    left, right = begin[run] - rows * width - 1, end[run] - rows * width - 1
    return int(left.min()), int(rows[0]), int(right.max()), int(rows[-1]) + 1


def _stripes(maps: torch.Tensor, placement: Placement, size: tuple[int, int]) -> Iterator[tuple[slice, torch.Tensor]]:
    """The rows of the enlarged maps `(K, rows, width)`, in their order."""
    height, width = size
    top, bottom, down, seen_rows = _neighbours(placement, 0, maps.shape[1], height)
    left, right, across, seen_columns = _neighbours(placement, 1, maps.shape[2], width)
    columns = _between(maps[:, :, left], maps[:, :, right], across) * seen_columns  # (K, rows of patches, width)
    step = max(1, STRIPE // max(1, len(maps) * width))
    for row in range(0, height, step):
        rows = slice(row, min(row + step, height))
        stripe = _between(columns[:, top[rows]], columns[:, bottom[rows]], down[rows, None])
        yield rows, stripe.mul_(seen_rows[rows, None])


def _between(first: torch.Tensor, second: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As `torch.lerp`, whose last bit depends on how many maps there are."""
    return (second - first).mul_(weight).add_(first)


def _neighbours(
    placement: Placement, axis: int, patches: int, length: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each of `length` places along an axis: the patches before and after, the weight of the latter, and 1 or 0."""
    resized, offset, patch = placement.resized[axis], placement.offset[axis], placement.padded[axis] / patches
    pixel = (torch.arange(length, dtype=torch.float64) + 0.5) * (resized / length) + offset  # in the input of the model
    seen = (pixel > 0) & (pixel < placement.area[axis])
    # Patches that show nothing but padding have no part in the image.
    first, last = max(0, floor(offset / patch)), min(patches, ceil((offset + resized) / patch)) - 1
    place = (pixel / patch - 0.5).clamp(first, last)
    before = place.long()
    return before, (before + 1).clamp(max=last), (place - before).float(), seen.float()


def _connected(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """
    The number of the part `(count,)` that each node belongs to, in a graph with edges from nodes `one` to `other`.

    In each round the nodes that have a neighbour with a smaller number join it; or with a larger number, if those are
    more. At least half of the nodes that have neighbours join, so all rounds take little longer than the first.
    """
    part = np.arange(count)
    while len(one):
        nodes = np.arange(count)
        low, high = np.minimum(one, other), np.maximum(one, other)
        with_smaller, with_larger = np.zeros(count, bool), np.zeros(count, bool)
        with_smaller[high] = with_larger[low] = True
        joined = nodes.copy()
        if with_smaller.sum() >= with_larger.sum():
            joined[high] = low
        else:
            joined[low] = high
        while not np.array_equal(joined, further := joined[joined]):
            joined = further
        number = np.cumsum(joined == nodes) - 1  # of those that are left
        joined, count = number[joined], int(number[-1]) + 1
        part, one, other = joined[part], joined[one], joined[other]
        one, other = one[one != other], other[one != other]
    return part


__all__ = [
    "Box",
    "MapSize",
    "Placement",
    "Region",
    "check_threshold",
    "enlarged",
    "find_region",
    "largest_box",
    "resized_size",
    "size_of_maps",
]
