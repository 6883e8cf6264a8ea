"""What every explanation method looks like from outside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .vit import undisturbed

Explain = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], np.ndarray]


@dataclass(frozen=True)
class Explainer:
    """
    A method that maps `(model, pixel_values, labels)` to heat maps.

    Called with a PM-ViT or any ViT classifier of transformers, `pixel_values` `(batch, channels, height, width)` and
    `labels` `(batch,)`, the class to explain in each image, it returns `(batch, height / patch, width / patch)`, or
    `(batch, height, width)` from a method that works on pixels; larger means more important. Scales differ.
    An image's map does not depend on the others of its batch, and the model is afterwards as it was before.

    Args:
        name, title: key and heading.
        explain: the method itself.
        forward_passes, backward_passes: that the explanation of one class in one image takes.
        source: the paper, and the library that computes it where one does.
        depends_on_class: whether two classes get two maps.
        gives_probabilities: whether values are probabilities that the class is at that place.
    """

    name: str
    title: str
    explain: Explain
    forward_passes: int
    backward_passes: int
    source: str
    depends_on_class: bool = True
    gives_probabilities: bool = False

    def __call__(self, model: torch.nn.Module, pixel_values: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        with torch.inference_mode(False), undisturbed(model, gradients=self.backward_passes > 0):
            return self.explain(model, pixel_values, labels)
