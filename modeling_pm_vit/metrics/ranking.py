"""
What a classifier says while an image is changed pixel by pixel, in the order of a map.

Pixels of equal value have no order, and the one that they are given decides the result: rectified maps are 0 in most
of an image. So every point of a curve is taken in several random orders of equal pixels, and their mean is the value.
A point is repeated only where it depends on the order: if the last changed pixel and the first unchanged one are equal.
"""

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import torch

from .metric import DEFAULTS

TIE_ORDERS = DEFAULTS.tie_orders
_IMAGES_PER_PASS = 64

# The pixels that are changed at each point, boolean `(points, pixels)`, from the values of the pixels `(pixels,)` and
# the number of changed pixels at each point `(points,)`.
Order = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def curves_in_order(
    score: Callable[[torch.Tensor, int], torch.Tensor],
    images: torch.Tensor,
    change: Callable[[torch.Tensor, int], torch.Tensor],
    heatmaps: torch.Tensor,
    counts: torch.Tensor,
    published: Order,
    descending: bool = True,
    tie_orders: int = TIE_ORDERS,
) -> np.ndarray:
    """
    Args:
        score: changed versions of one image `(m, channels, height, width)`, at most 64, and its row, to values `(m,)`.
        images: `(n, channels, height, width)`. The random orders are seeded by the image, so they are the same for
            all explainers and in every batch.
        change: the pixels to change, boolean `(m, 1, height, width)`, and the row of an image, to changed versions of
            it `(m, channels, height, width)`.
        heatmaps: `(n, height, width)`. In a map that holds NaN or infinity all values count as equal.
        counts: `(points,)` number of changed pixels at each point.
        published: the order of the authors' code, for `tie_orders=0`.
        descending: from the highest value of the map to the lowest, else from the lowest.
        tie_orders: number of random orders of equal pixels; 0 for one order, the published one.

    Returns:
        `(n, orders, points)` float32.

    Raises:
        ValueError: if maps and images differ in number or size, or `tie_orders` is negative.
    """
    if heatmaps.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(f"expected maps of the images' size {tuple(images.shape)}, got {tuple(heatmaps.shape)}.")
    if tie_orders < 0:
        raise ValueError(f"tie_orders must be at least 0, got {tie_orders}.")
    counts = counts.to(images.device)
    curves = []
    for row, values in enumerate(heatmaps.to(images.device).flatten(1)):
        values = values if values.isfinite().all() else torch.zeros_like(values)
        needed = torch.ones(max(1, tie_orders), len(counts), dtype=torch.bool, device=images.device)
        if tie_orders:
            places = random_ranks(values, image_seed(images[row]), tie_orders, descending)
            needed[1:] = depends_on_ties(values, counts, descending)
        else:
            changed = published(values if descending else -values, counts)
        scores = []
        for part in needed.nonzero().split(_IMAGES_PER_PASS):  # (m, 2): order and point
            order, point = part.T
            chosen = places[order] < counts[point, None] if tie_orders else changed[point]
            changed_images = change(chosen.view(-1, 1, *images.shape[2:]), row)
            scores.append(score(changed_images, row).float().to(images.device))
        curve = torch.zeros(needed.shape, device=images.device).masked_scatter(needed, torch.cat(scores))
        curves.append(curve.where(needed, curve[:1]).cpu().numpy())
    return np.stack(curves)


def replaced(before: torch.Tensor, after: torch.Tensor) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """A `change` from one set of images `(n, channels, height, width)` to another, pixel by pixel."""
    return lambda chosen, row: torch.where(chosen, after[row], before[row])


def by_argsort(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """A published order: NumPy's `argsort`, an unstable sort, from its end."""
    order = np.flip(np.argsort(values.cpu().numpy()))
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return torch.as_tensor(places).to(values.device) < counts[:, None]


def random_ranks(values: torch.Tensor, seed: list[int], orders: int, descending: bool = True) -> torch.Tensor:
    """The place, from 0, of each of the values `(pixels,)` when they are sorted, ties at random: `(orders, pixels)`."""
    places = []
    for order in range(orders):
        shuffled = torch.as_tensor(np.random.default_rng([*seed, order]).permutation(len(values))).to(values.device)
        sequence = shuffled[values[shuffled].argsort(descending=descending, stable=True)]
        places.append(torch.empty_like(sequence).scatter_(0, sequence, torch.arange(len(values), device=values.device)))
    return torch.stack(places)


def depends_on_ties(values: torch.Tensor, counts: torch.Tensor, descending: bool = True) -> torch.Tensor:
    """`(points,)` boolean: of the sorted values `(pixels,)`, the last of the first `count` equals the next one."""
    ordered = values.sort(descending=descending).values
    inside = (counts > 0) & (counts < len(values))
    place = counts.where(inside, 1)
    return inside & (ordered[place - 1] == ordered[place.clamp(max=len(values) - 1)])


def image_seed(image: torch.Tensor) -> list[int]:
    """A seed for random numbers from the pixels of an image."""
    return list(blake2b(image.detach().float().cpu().numpy().tobytes(), digest_size=16).digest())
