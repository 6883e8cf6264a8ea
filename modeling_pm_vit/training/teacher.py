"""Self-training within a run: the average of the weights teaches where the class of an image without a mask is."""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import nn

from ..explanation_pm_vit import IGNORE
from ..modeling_pm_vit import PMViTImageClassifierOutput
from ..weak_loss_pm_vit import POSSIBLE
from .averaging import WeightAverage

PRESENT, ABSENT = 0.55, 0.25  # above the first probability the class is on a patch, below the second it is not
AREA = (0.03, 0.9)  # limits of the share of patches with the class, outside of which nothing is taught


class Teacher:
    """
    Makes masks with the averaged weights (Tarvainen and Valpola, *Mean teachers are better role models*, NeurIPS 2017,
    whose teacher gives probabilities; here only what it is sure of counts).

    Args:
        average: of the weights of the `model`.
    """

    def __init__(self, model: nn.Module, average: WeightAverage, accelerator: Accelerator):
        self.model, self.average, self.accelerator = model, average, accelerator

    @torch.no_grad()
    def __call__(self, pixel_values: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """
        Args:
            pixel_values: `(n, channels, height, width)`, the images as the student sees them, but in their own colours.
            classes: `(n,)`, the class of each.

        Returns:
            `(n, h, w)`: 1 on the patches where the class is, 0 where it is not, `POSSIBLE` where the teacher is not
            sure. `POSSIBLE` everywhere if it finds the class on less than 3 % or on more than 90 % of the patches.
        """
        everywhere = classes.new_full((len(classes), 1, 1), POSSIBLE, dtype=torch.float)
        output = lambda: self.model(pixel_values=pixel_values, explain_labels=classes.unsqueeze(1))  # noqa: E731
        return taught_masks(self._probabilities(output)[:, 0], everywhere)

    @torch.no_grad()
    def complete(self, mask_labels: torch.Tensor, output: Callable[[], PMViTImageClassifierOutput]) -> torch.Tensor:
        """
        Teach about images as they are, with their changes of colour, mixed and in mosaics. In a mosaic the area of a
        class counts within its own cells.

        Args:
            mask_labels: `(n, K, h, w)`, as the model takes them.
            output: runs the model on these images, with their `explain_labels`.

        Returns:
            `mask_labels`, with what the teacher is sure of where a class was possible.
        """
        return taught_masks(self._probabilities(output), mask_labels)

    def _probabilities(self, output: Callable[[], PMViTImageClassifierOutput]) -> torch.Tensor:
        training = self.model.training
        self.model.eval()
        try:
            with self.average.applied(), self.accelerator.autocast():
                logits = output().mask_logits
                assert logits is not None  # classes were given
                return logits.float().sigmoid()
        finally:
            self.model.train(training)


def taught_masks(probabilities: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """
    The masks of [`Teacher`].

    Args:
        probabilities: `(..., h, w)`, of the class at each patch.
        masks: the same shape, or `(..., 1, 1)`. Below 0 where the class is possible: minus the share of its image.

    Returns:
        `masks`, with the share of the image or 0 on the patches, where the class was possible, on which the teacher is
        sure. What it teaches about a class is left out if it finds it on too few or on too many of these patches.
    """
    masks = masks.expand_as(probabilities)
    possible = (masks < 0) & (masks != IGNORE)
    present, absent = probabilities > PRESENT, probabilities < ABSENT
    area = (present & possible).float().sum((-2, -1), keepdim=True)
    area = area / possible.float().sum((-2, -1), keepdim=True).clamp(min=1)
    possible = possible & (area >= AREA[0]) & (area <= AREA[1])
    return torch.where(possible & present, -masks, torch.where(possible & absent, 0.0, masks))
