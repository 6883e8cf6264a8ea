"""Self-training within a run: the average of the weights teaches where the class of an image without a mask is."""

import torch
from accelerate import Accelerator
from torch import nn

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
        training = self.model.training
        self.model.eval()
        try:
            with self.average.applied(), self.accelerator.autocast():
                outputs = self.model(pixel_values=pixel_values, explain_labels=classes.unsqueeze(1))
        finally:
            self.model.train(training)
        return taught_masks(outputs.mask_logits[:, 0].float().sigmoid())


def taught_masks(probabilities: torch.Tensor) -> torch.Tensor:
    """The masks of [`Teacher`] of the probability of the class at each patch, both `(n, h, w)`."""
    present = probabilities > PRESENT
    area = present.float().mean((-2, -1), keepdim=True)
    masks = torch.where(probabilities < ABSENT, 0.0, float(POSSIBLE)).masked_fill(present, 1.0)
    return torch.where((area >= AREA[0]) & (area <= AREA[1]), masks, float(POSSIBLE))
