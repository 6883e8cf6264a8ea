"""The interface of all explanation methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .vit import ViTClassifier, class_labels, undisturbed

Explain = Callable[[ViTClassifier, torch.Tensor, torch.Tensor], np.ndarray]


@dataclass(frozen=True)
class Explainer:
    """
    A method that maps `(model, pixel_values, labels)` to heat maps.

    It takes a PM-ViT or a ViT classifier of transformers of one of the [`FAMILIES`], `pixel_values`
    `(batch, channels, height, width)` and `labels`, the class to explain in each image (a tensor or list of indices, or
    one index for all images). It returns `(batch, height / patch, width / patch)`, or
    `(batch, height, width)` for methods that work on pixels. Higher values are more important; the scales differ. The
    map of an image does not depend on the other images of its batch. The model is not changed.

    Args:
        name, title: key and heading.
        explain: computes the maps.
        forward_passes, backward_passes: number of passes for one class in one image.
        source: the paper, and the library if one computes it.
        depends_on_class: whether the maps of different classes differ.
        gives_probabilities: whether the values are probabilities that the class is at that place.
        passes_vary: whether the number of passes depends on the image; those declared are typical.
        needs_attentions: whether it reads the attentions of the layers, which a timm backbone does not give.
        settings: what the maps depend on and a user can choose, by the name of the option.
    """

    name: str
    title: str
    explain: Explain
    forward_passes: int
    backward_passes: int
    source: str
    depends_on_class: bool = True
    gives_probabilities: bool = False
    passes_vary: bool = False
    needs_attentions: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self, model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor | Sequence[int] | int
    ) -> np.ndarray:
        labels = class_labels(labels, pixel_values, model)
        with torch.inference_mode(False), undisturbed(model, gradients=self.backward_passes > 0):
            return self.explain(model, pixel_values, labels)
