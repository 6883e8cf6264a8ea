"""What the label alone says of the patches of an image: its class is on some of them, and no other class is on any."""

from math import log
from typing import Literal

import torch
from torch import nn

_LOG_HALF = log(0.5)
POSSIBLE = -1  # in `mask_labels`: the class may be here or not, and it is somewhere


def open_patch_loss(
    explained_logits: torch.Tensor,
    coverage: torch.Tensor,
    possible: torch.Tensor,
    mask_loss_type: Literal["joint", "softmax", "sigmoid"],
) -> torch.Tensor:
    """
    The part of the loss of a patch that is not charged, `(images, patches)`, as some classes may be there or not. What
    is left of the softmax loss is the cross-entropy with "one of these classes or background"; of the sigmoid loss the
    terms of the other classes. 0 where no class is possible.

    Args:
        explained_logits, coverage: `(images, K, patches)`, as in [`PMViTForImageClassification.patch_loss`].
        possible: `(images, K, patches)`, boolean; such a class covers 0.
    """
    loss = explained_logits.new_zeros(explained_logits.shape[0], explained_logits.shape[2])
    if mask_loss_type != "sigmoid":
        rest = 1 - coverage.sum(1).clamp(max=1)  # of the patch, on which the known classes are not
        least = torch.finfo(explained_logits.dtype).min
        background = explained_logits.new_zeros(loss.shape).unsqueeze(1)
        loss = loss + rest * torch.cat((explained_logits.masked_fill(~possible, least), background), 1).logsumexp(1)
    if mask_loss_type != "softmax":
        loss = loss + torch.where(possible, nn.functional.softplus(explained_logits), 0.0).sum(1)
    return loss


def presence_loss(
    explained_logits: torch.Tensor, coverage: torch.Tensor, possible: torch.Tensor, min_area: torch.Tensor | float
) -> torch.Tensor:
    """
    The loss of "the class is somewhere", `(images,)`: `max(0, log 0.5 - log a)`, where `a` is the mean probability of
    the class over the share `min_area` of the patches on which it is possible, those where it is highest. Its gradient
    is a mean over these patches weighted by their probability, and 0 once they have half the probability: a map gets no
    spikes, and a faint probability everywhere does not suffice. A class that covers a patch is somewhere already.

    Args:
        explained_logits, coverage: `(images, K, patches)`, as in [`PMViTForImageClassification.patch_loss`].
        possible: `(images, K, patches)`, in [0, 1]: the weight of the statement, where the class is possible. The loss
            of a class is weighted by its mean over all patches.
        min_area: in (0, 1), `(images, K)` or one number. At least one patch. An object that covers half of it
            satisfies the statement.
    """
    where = possible > 0
    least = torch.finfo(explained_logits.dtype).min
    highest = nn.functional.logsigmoid(explained_logits).masked_fill(~where, least).sort(-1, descending=True).values
    count = (min_area * where.sum(-1)).ceil().clamp(min=1)
    taken = torch.arange(where.shape[-1], device=where.device) < count.unsqueeze(-1)
    mean = highest.masked_fill(~taken, least).logsumexp(-1) - count.log()  # its logarithm
    weight = torch.where((coverage > 0).any(-1), 0.0, possible.mean(-1))  # (images, K)
    return (weight * torch.where(weight > 0, (_LOG_HALF - mean).clamp(min=0), 0.0)).sum(1)


__all__ = ["POSSIBLE", "open_patch_loss", "presence_loss"]
