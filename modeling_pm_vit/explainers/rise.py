"""RISE (Petsiuk, Das and Saenko, *Randomized input sampling for explanation of black-box models*, BMVC 2018).

As in the paper and the authors' code: grids of 7 x 7 cells, each kept with probability 0.5, resized bilinearly, with
mirrored ends, and shifted at random by less than a cell; a masked pixel is 0 in normalised space. The score is the
probability of the class. 8,000 masks, as the paper has for ResNet50 (4,000 for VGG16); the authors' notebooks have
other settings: 2,000 masks of 8 x 8 cells kept with 0.5, 6,000 of 8 x 8 with 0.1, 5,000 of 10 x 10 with 0.1. Variant:
a sigmoid for multi-label models. All images have the same masks.
"""

from math import ceil

import numpy as np
import torch

from ..explanation_pm_vit import class_probabilities
from .vit import ViTClassifier, full_precision, run

MASKS, CELLS, KEPT = 8000, 7, 0.5
_IMAGES_PER_PASS = 128


@torch.no_grad()
def rise(
    model: ViTClassifier,
    pixel_values: torch.Tensor,
    labels: torch.Tensor,
    masks: int = MASKS,
    cells: int = CELLS,
    kept: float = KEPT,
    seed: int = 0,
) -> np.ndarray:
    """
    One value per pixel, `(batch, height, width)`, in [0, 1 / kept]: the mean of the masks, weighted by the probability
    of the class under each mask, divided by the share of kept pixels.

    Args:
        masks: number of forward passes per image. An image that is repeated in the batch, with other classes, shares
            them.
        cells: of a mask, along each side.
        kept: probability that a cell is kept.
    """
    images, image_of = torch.unique(pixel_values, dim=0, return_inverse=True)
    labels = labels.to(images.device)
    grids, shifts = draw_masks(masks, cells, kept, seed)
    heatmaps = torch.zeros(len(labels), *images.shape[-2:], device=images.device)
    per_pass = max(1, _IMAGES_PER_PASS // len(images))
    for some_grids, some_shifts in zip(grids.split(per_pass), shifts.split(per_pass), strict=True):
        some = enlarge_masks(some_grids.to(images.device), some_shifts.to(images.device), images.shape[-2:])
        masked = images.unsqueeze(1) * some[:, None].to(images.dtype)  # (images, masks, channels, height, width)
        logits = run(model, masked.flatten(0, 1)).logits
        probabilities = class_probabilities(logits, model.config).to(images.device).unflatten(0, masked.shape[:2])
        with full_precision(images):
            heatmaps += torch.einsum("bm, mhw -> bhw", probabilities[image_of, :, labels], some)
    return (heatmaps / (masks * kept)).cpu().numpy()


def draw_masks(count: int, cells: int = CELLS, kept: float = KEPT, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The random parts of the masks: grids `(count, cells, cells)` of 0 and 1, shifts `(count, 2)` of 0 to 1 cell."""
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(count, cells, cells, generator=generator) < kept).float()
    return grids, torch.rand(count, 2, generator=generator)


def enlarge_masks(grids: torch.Tensor, shifts: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """
    The masks `(count, height, width)`, in [0, 1], from grids `(count, cells, cells)`. A cell has height / cells x
    width / cells pixels, rounded up; a grid is enlarged by one cell more than the image has, of which the image is cut.
    """
    cells = grids.shape[-1]
    weights = []
    for axis, side in enumerate(size):
        cell = ceil(side / cells)
        first = (shifts[:, axis, None] * cell).long()
        pixels = first + torch.arange(side, device=grids.device)  # (count, side)
        place = (pixels + 0.5) * cells / ((cells + 1) * cell) - 0.5  # in cells; 0 is the middle of the first one
        place = place.abs()  # mirrored at the middles of the outer cells
        place = torch.where(place > cells - 1, 2 * (cells - 1) - place, place)
        weights.append((1 - (place[..., None] - torch.arange(cells, device=grids.device)).abs()).clamp(min=0))
    with full_precision(grids):
        return torch.einsum("nhi, nij, nwj -> nhw", weights[0], grids, weights[1])
