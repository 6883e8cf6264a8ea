"""The interface of the methods that make pseudo masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import nn

from ..utils.errors import InputError

MIN_AREA, MAX_AREA, MAX_BORDER = 0.01, 0.9, 0.5


@dataclass(frozen=True)
class PseudoMask:
    """
    Args:
        probability: `(height, width)` of the image, in [0, 1].
        score: confidence of the mask; its definition depends on the method.
        threshold: smallest probability of a pixel of the object.
    """

    probability: np.ndarray
    score: float
    threshold: float = 0.5

    @property
    def mask(self) -> np.ndarray:
        """Boolean `(height, width)`."""
        return self.probability >= self.threshold


class Method(Protocol):
    """
    Makes masks of images. The mask of an image does not depend on the other images of its batch.

    Attributes:
        model: the model that makes the masks.
        settings: everything else that the masks depend on, as JSON values.
    """

    @property
    def model(self) -> nn.Module: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        """
        Args:
            images: in RGB, of any sizes.
            labels: the class of each image.

        Returns:
            For each image a mask of its class, or `None` if the method finds no object.
        """
        ...


class WithEmptyClasses:
    """
    A method for datasets with classes without an object: their images get an empty mask with the score 1, and the
    method is not asked.

    Args:
        method: for the other images.
        names: of the dataset's classes.
        empty: those of them without an object.

    Raises:
        InputError: if one of the empty classes is none of the dataset's.
    """

    def __init__(self, method: Method, names: Sequence[str], empty: Sequence[str]):
        unknown = [name for name in empty if name not in names]
        if unknown:
            raise InputError(f"--empty_classes: there is no class {unknown[0]!r}; the classes are {', '.join(names)}.")
        self.method, self.model = method, method.model
        self.labels = {list(names).index(name) for name in empty}
        self.settings: Mapping[str, Any] = {**method.settings, "empty_classes": list(empty)}

    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        others = [place for place, label in enumerate(labels) if label not in self.labels]
        masks: list[PseudoMask | None] = [
            PseudoMask(np.zeros((image.height, image.width), np.float32), 1.0) for image in images
        ]
        if others:
            found = self.method([images[place] for place in others], [labels[place] for place in others])
            for place, mask in zip(others, found, strict=True):
                masks[place] = mask
        return masks


def is_plausible_object(mask: np.ndarray) -> bool:
    """
    Whether a boolean mask `(height, width)` without a class is plausible as an object, not as background: it covers 1 %
    to 90 % of the image and at most half of the image's border.
    """
    border = np.concatenate((mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]))
    return bool(MIN_AREA <= mask.mean() <= MAX_AREA and border.mean() <= MAX_BORDER)
