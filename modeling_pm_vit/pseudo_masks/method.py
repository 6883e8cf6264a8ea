"""What every way of making masks looks like from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class PseudoMask:
    """
    Args:
        probability: `(height, width)` of the image's own size, in [0, 1]; the object is where it is at least .5.
        score: how much the mask is to be trusted, in [0, 1]; what it is depends on the method.
    """

    probability: np.ndarray
    score: float


class Method(Protocol):
    """
    Makes masks of photographs. A photograph's mask does not depend on the others of its batch.

    Attributes:
        settings: all that the masks depend on, as JSON takes it.
    """

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
