"""What every way of making masks looks like from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from torch import nn

LEAST_AREA, LARGEST_AREA, MOST_BORDER = 0.01, 0.9, 0.5


@dataclass(frozen=True)
class PseudoMask:
    """
    Args:
        probability: `(height, width)` of the image's own size, in [0, 1].
        score: how much the mask is to be trusted; what it is depends on the method.
        threshold: probability from which a pixel belongs to the object.
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
    Makes masks of photographs. A photograph's mask does not depend on the others of its batch.

    Attributes:
        model: that makes them.
        settings: all else that the masks depend on, as JSON takes it.
    """

    model: nn.Module
    settings: Mapping

    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        """
        Args:
            images: in RGB, of any sizes.
            labels: the class of each.

        Returns:
            For each image a mask of its class, or `None` where the method sees no object.
        """
        ...


def is_plausible_object(mask: np.ndarray) -> bool:
    """
    Whether a boolean mask `(height, width)` that says nothing of classes may be an object rather than its surroundings:
    it covers 1 % to 90 % of the image and at most half of the image's border.
    """
    border = np.concatenate((mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]))
    return bool(LEAST_AREA <= mask.mean() <= LARGEST_AREA and border.mean() <= MOST_BORDER)
