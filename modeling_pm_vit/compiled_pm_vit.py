"""A compiled model that is called with batches of one size; on a GPU with CUDA graphs."""

from typing import Any

import torch
from torch import nn


class CompiledModel:
    """
    Calls a model through `torch.compile`. On a GPU it records CUDA graphs (`mode="reduce-overhead"`), which start all
    kernels of a call at once: single images, whose time is that of starting kernels, gain most.

    The first call takes a minute. A graph is for one size: a batch that is smaller than one before is filled up, a
    larger one is compiled anew. The outputs on a GPU are overwritten by the next call, so copy what is kept.

    Args:
        model: a PM-ViT in evaluation mode.
    """

    def __init__(self, model: nn.Module):
        mode = "reduce-overhead" if next(model.parameters()).is_cuda else None
        self._call = torch.compile(model, dynamic=False, mode=mode)
        self._batch_size = 0

    def __call__(self, pixel_values: torch.Tensor, explain_labels: torch.Tensor | int, **kwargs: Any) -> Any:
        """
        As of the model; the outputs have further rows where the batch was filled up.

        Args:
            pixel_values: `(batch, channels, height, width)`.
            explain_labels: a number of classes, or their indices `(batch, K)`.
        """
        count = len(pixel_values)
        self._batch_size = max(self._batch_size, count)
        if count < self._batch_size:
            rows = torch.arange(self._batch_size, device=pixel_values.device).clamp(max=count - 1)
            pixel_values = pixel_values[rows]
            if isinstance(explain_labels, torch.Tensor):
                explain_labels = explain_labels[rows.to(explain_labels.device)]
        torch.compiler.cudagraph_mark_step_begin()
        return self._call(pixel_values, explain_labels=explain_labels, **kwargs)


__all__ = ["CompiledModel"]
