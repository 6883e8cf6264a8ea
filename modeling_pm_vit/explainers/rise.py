"""RISE (Petsiuk, Das and Saenko, *Randomized input sampling for explanation of black-box models*, BMVC 2018).

Variant of the authors: grids of 7 x 7 cells, each kept with probability 0.5, resized bilinearly and shifted at random
by less than a cell; a masked pixel is 0 in normalised space. The score is the probability of the class, by a sigmoid
for multi-label models. All images have the same masks.
"""

from math import ceil

import numpy as np
import torch
from torch import nn

from ..explanation_pm_vit import class_probabilities
from .vit import ViTClassifier, run

_CELLS = 7
_KEPT = 0.5
_IMAGES_PER_PASS = 128


@torch.no_grad()
def rise(
    model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor, masks: int = 4000, seed: int = 0
) -> np.ndarray:
    """
    One value per pixel, `(batch, height, width)`, in [0, 1 / 0.5]: the mean of the masks, weighted by the probability
    of the class under each mask, divided by the share of kept pixels.

    Args:
        masks: number of forward passes per image. An image that is repeated in the batch, with other classes, shares
            them.
    """
    images, image_of = torch.unique(pixel_values, dim=0, return_inverse=True)
    labels = labels.to(images.device)
    cells, shifts = draw_masks(masks, seed)
    heatmaps = torch.zeros(len(labels), *images.shape[-2:], device=images.device)
    per_pass = max(1, _IMAGES_PER_PASS // len(images))
    for some_cells, some_shifts in zip(cells.split(per_pass), shifts.split(per_pass), strict=True):
        some = enlarge_masks(some_cells.to(images.device), some_shifts.to(images.device), images.shape[-2:])
        masked = images.unsqueeze(1) * some[:, None].to(images.dtype)  # (images, masks, channels, height, width)
        logits = run(model, masked.flatten(0, 1)).logits
        probabilities = class_probabilities(logits, model.config).to(images.device).unflatten(0, masked.shape[:2])
        heatmaps += torch.einsum("bm, mhw -> bhw", probabilities[image_of, :, labels], some)
    return (heatmaps / (masks * _KEPT)).cpu().numpy()


def draw_masks(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The random parts of the masks: cells `(count, 7, 7)` of 0 and 1, shifts `(count, 2)` in [0, 1) of a cell."""
    generator = torch.Generator().manual_seed(seed)
    cells = (torch.rand(count, _CELLS, _CELLS, generator=generator) < _KEPT).float()
    return cells, torch.rand(count, 2, generator=generator)


def enlarge_masks(cells: torch.Tensor, shifts: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The masks `(count, height, width)`, in [0, 1]; a cell has height / 7 x width / 7 pixels, rounded up."""
    cell = [ceil(side / _CELLS) for side in size]
    enlarged_size = [(_CELLS + 1) * side for side in cell]
    enlarged = nn.functional.interpolate(cells.unsqueeze(1), enlarged_size, mode="bilinear", align_corners=False)
    rows, columns = (
        (shifts[:, axis, None] * cell[axis]).long() + torch.arange(size[axis], device=cells.device) for axis in (0, 1)
    )
    index = torch.arange(len(cells), device=cells.device)
    return enlarged[index[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
