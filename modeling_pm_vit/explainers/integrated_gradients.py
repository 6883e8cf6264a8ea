"""Integrated gradients (Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*, ICML 2017), computed by
`captum`.

Variant: the baseline is 0 in normalised space, the default of captum. This is the mean colour of the processor
(mid-grey for a mean of 0.5); only the processor knows the value of black. Gauss-Legendre quadrature; gradients of the
logit of the class; attributions are summed over the colour channels with their sign, so evidence against the class is
negative.
"""

import numpy as np
import torch

from ..utils.extras import import_extra
from .vit import ViTClassifier, run

_IMAGES_PER_PASS = 64


def integrated_gradients(
    model: ViTClassifier, pixel_values: torch.Tensor, labels: torch.Tensor, steps: int = 50
) -> np.ndarray:
    """
    One value per pixel, `(batch, height, width)`. Their sum is the difference between the logits of image and baseline.

    Args:
        steps: number of forward passes, and of backward passes.
    """
    captum = import_extra("captum.attr", "the explainer integrated-gradients", "eval")
    attributions = captum.IntegratedGradients(lambda images: run(model, images).logits.float()).attribute(
        pixel_values.detach().float().clone(),
        baselines=0,
        target=labels.to(pixel_values.device).clone(),
        n_steps=steps,
        internal_batch_size=max(_IMAGES_PER_PASS, len(pixel_values)),
    )
    return attributions.sum(1).float().cpu().numpy()
