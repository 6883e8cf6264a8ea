"""The order of the pixels of a map."""

import torch


def ranks(heatmaps: torch.Tensor, descending: bool = True) -> torch.Tensor:
    """
    The place of every pixel when a map is sorted; equal values keep the order of the pixels, row by row, in either
    direction. In a map that holds NaN or infinity all values count as equal.

    Args:
        heatmaps: `(n, height, width)`.
        descending: from the highest value to the lowest, else from the lowest.

    Returns:
        Integers of the same shape, from 0.
    """
    flat = heatmaps.flatten(1)
    flat = flat.where(flat.isfinite().all(1, keepdim=True), 0)
    order = flat.argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(heatmaps)
