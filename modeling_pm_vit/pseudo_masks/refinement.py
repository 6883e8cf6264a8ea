"""Refinement of masks: aligns the edges of a mask with the edges of the image."""

import torch
from torch import nn


def guided_filter(guide: torch.Tensor, mask: torch.Tensor, radius: int, epsilon: float = 1e-3) -> torch.Tensor:
    """
    He, Sun and Tang, *Guided image filtering*, TPAMI 2013, with a grey guide: in each window the result is a linear
    function of the guide, so that it has edges only where the guide has edges.

    Args:
        guide: `(height, width)`, in [0, 1].
        mask: the same shape, in [0, 1].
        radius: of the square windows, in pixels.
        epsilon: variance of the guide from which a window keeps its edge.

    Returns:
        The same shape, in [0, 1].
    """

    def mean(x: torch.Tensor) -> torch.Tensor:  # separable: a window costs twice its side, not its area
        for side, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
            x = nn.functional.avg_pool2d(x, side, stride=1, padding=padding, count_include_pad=False)
        return x

    guide, mask = guide[None, None].double(), mask[None, None].double()
    mean_guide, mean_mask = mean(guide), mean(mask)
    variance = mean(guide * guide) - mean_guide**2
    slope = (mean(guide * mask) - mean_guide * mean_mask) / (variance + epsilon)
    offset = mean_mask - slope * mean_guide
    return (mean(slope) * guide + mean(offset))[0, 0].clamp(0, 1).float()
