"""The connected parts of a mask, in NumPy alone, by runs of pixels along rows: large masks take little memory."""

from typing import NamedTuple

import numpy as np

Box = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax in pixels, ends exclusive

CHUNK = 2**20  # pixels that are written at a time


class Parts(NamedTuple):
    """
    The connected parts (8-connectivity) of a mask `(height, width)`, the largest first.

    Args:
        boxes: xmin, ymin, xmax, ymax of each, ends exclusive.
        areas: in pixels.
        numbers: `(height, width)`, int32: k + 1 on part k, 0 elsewhere.
    """

    boxes: list[Box]
    areas: list[int]
    numbers: np.ndarray


def connected_parts(mask: np.ndarray, min_area: int = 1, most: int | None = None) -> Parts:
    """
    Args:
        mask: `(height, width)`, boolean.
        min_area: leave out parts of fewer pixels.
        most: keep so many parts, the largest. Default: all.

    Example:
        >>> mask = np.zeros((3, 6), bool)
        >>> mask[0, 0] = mask[1:, 3:5] = True
        >>> parts = connected_parts(mask)
        >>> parts.boxes, parts.areas
        ([(3, 1, 5, 3), (0, 0, 1, 1)], [4, 1])
        >>> connected_parts(mask, min_area=2).numbers.tolist()
        [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 0]]
    """
    if mask.shape[0] > mask.shape[1]:  # fewer and longer rows, so fewer runs
        boxes, areas, numbers = connected_parts(mask.T, min_area, most)
        return Parts([(box[1], box[0], box[3], box[2]) for box in boxes], areas, numbers.T)
    row, left, right, part = _runs(mask)
    count = int(part.max()) + 1 if len(part) else 0
    area = np.bincount(part, weights=right - left, minlength=count).astype(int)
    corners = np.empty((4, count), int)
    corners[:2], corners[2:] = np.iinfo(int).max, 0
    for corner, values in ((0, left), (1, row)):
        np.minimum.at(corners[corner], part, values)
    for corner, values in ((2, right), (3, row + 1)):
        np.maximum.at(corners[corner], part, values)
    kept = np.lexsort((corners[0], corners[1], -area))  # parts of equal area from the top
    kept = kept[area[kept] >= min_area][:most]
    number = np.zeros(count, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    numbers = np.zeros(mask.shape, np.int32)
    length, start = right - left, row * mask.shape[1] + left
    ends = np.cumsum(length)
    for chunk in np.split(
        np.arange(len(part)), np.searchsorted(ends, np.arange(CHUNK, ends[-1] if count else 0, CHUNK))
    ):
        within = np.arange(length[chunk].sum()) - np.repeat(np.cumsum(length[chunk]) - length[chunk], length[chunk])
        numbers.flat[np.repeat(start[chunk], length[chunk]) + within] = np.repeat(number[part[chunk]], length[chunk])
    boxes = [(int(a), int(b), int(c), int(d)) for a, b, c, d in corners[:, kept].T]
    return Parts(boxes, area[kept].tolist(), numbers)


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
    row, left, right, part = _runs(mask)
    if not len(part):
        return None
    run = part == np.bincount(part, weights=right - left).argmax()
    return int(left[run].min()), int(row[run][0]), int(right[run].max()), int(row[run][-1]) + 1


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The runs of set pixels along rows: row, first column, column behind the last, and the number of the part."""
    # Each from `begin` to `end`, which count pixels through rows with a margin. Two runs of neighbouring rows touch if
    # one, moved by a row, begins at the latest where the other ends.
    height, width = mask.shape[0], mask.shape[1] + 2
    step = max(1, CHUNK // width)
    changes = [
        np.flatnonzero(np.diff(np.pad(mask[row : row + step], ((0, 0), (1, 1))).ravel())) + row * width + 1
        for row in range(0, height, step)
    ]
    begin, end = np.concatenate(changes).reshape(-1, 2).T if changes else np.zeros((2, 0), int)
    first = np.searchsorted(end, begin - width)
    counts = np.searchsorted(begin, end - width, side="right") - first
    below = np.repeat(np.arange(len(begin)), counts)
    above = np.arange(len(below)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    row = begin // width
    return row, begin - row * width - 1, end - row * width - 1, _connected(len(begin), above, below)


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


__all__ = ["Box", "Parts", "connected_parts", "largest_box"]
