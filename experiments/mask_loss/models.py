"""Forms of PM-ViT that the study compares with the one that the package offers. They add no parameter either."""

import torch
from torch import nn

from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification, sigmoid_patch_loss, softmax_patch_loss


class Form(PMViTForImageClassification):
    """Saved as a PM-ViT like any other, to be loaded by the same form where it differs not only in training."""

    _auto_class = None


class TargetOnly(Form):
    """The classes whose masks are known are there or not, each on its own; the others are left free."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        loss = nn.functional.softplus(explained_logits) - explained_logits * coverage
        return (loss * _shown(coverage).unsqueeze(-1)).sum(1)


class HardNegative(TargetOnly):
    """The classes whose masks are known, and at each patch the most probable of the others, which is not there."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        others = _other_logits(mask_logits, explained_logits, coverage)
        hardest = nn.functional.softplus(others.amax(-1))
        return super().patch_loss(mask_logits, explained_logits, coverage) + hardest


class SampledNegative(TargetOnly):
    """The classes whose masks are known, and one class drawn for each image, which is nowhere unless it is of those."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        others = _other_logits(mask_logits, explained_logits, coverage)
        images, patches, classes = others.shape
        drawn = torch.randint(classes, (images, 1, 1), device=others.device).expand(-1, patches, -1)
        absent = nn.functional.softplus(others.gather(-1, drawn).squeeze(-1))
        return super().patch_loss(mask_logits, explained_logits, coverage) + absent


class SoftmaxAndTarget(TargetOnly):
    """Softmax with a background of logit 0 over all classes, and the classes whose masks are known each on its own."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        softmax = softmax_patch_loss(mask_logits, explained_logits, coverage)
        return softmax + super().patch_loss(mask_logits, explained_logits, coverage)


class LightSigmoid(Form):
    """The joint loss with a quarter of its sigmoid part."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        inputs = mask_logits, explained_logits, coverage
        return softmax_patch_loss(*inputs) + sigmoid_patch_loss(*inputs) / 4


class DiceToo(Form):
    """The mask loss of the configuration, and 1 minus the soft Dice coefficient of each class whose mask is known."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        probabilities = explained_logits.sigmoid()
        shown = _shown(coverage)
        overlap, total = (probabilities * coverage).sum(-1), (probabilities + coverage).sum(-1)
        dice = torch.where(shown, 1 - 2 * overlap / total, 0.0).sum(1) / shown.sum(1).clamp(min=1)
        return super().patch_loss(mask_logits, explained_logits, coverage) + dice.unsqueeze(-1)


class UniformBackground(Form):
    """Softmax over the classes alone; where none is, all are equally likely."""

    def patch_loss(self, mask_logits, explained_logits, coverage):
        share = coverage / coverage.sum(1, keepdim=True).clamp(min=1)
        rest = 1 - share.sum(1)  # (images, patches)
        return mask_logits.logsumexp(-1) - (explained_logits * share).sum(1) - rest * mask_logits.mean(-1)


class DetachedBackbone(Form):
    """The mask loss teaches the classifier only, not the ViT."""

    def _mask_loss(self, patches, *args):
        return super()._mask_loss(patches.detach(), *args)


class EarlierPatches(Form):
    """What is in a patch is read before the last layer, which tells [CLS] alone."""

    def __init__(self, config):
        super().__init__(config)
        self.vit.layers[-1].register_forward_hook(_keep_patches)


class PooledLogits(Form):
    """
    The image's logits are the mean of those of [CLS] and of the patches, each patch weighed by the probability that it
    is not background (softmax over the classes and a background of logit 0).
    """

    def image_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = self.classifier(tokens)  # (batch, 1 + patches, classes)
        patches = logits[:, 1:]
        foreground = patches.logsumexp(-1, keepdim=True).sigmoid()
        pooled = (foreground * patches).sum(1) / foreground.sum(1).clamp(min=1e-3)
        return (logits[:, 0] + pooled) / 2


def _keep_patches(layer, inputs, tokens):
    return torch.cat((tokens[:, :1], inputs[0][:, 1:]), 1)


def _shown(coverage):
    """Which slots hold a class that the image shows, `(images, K)`: empty ones cover nothing."""
    return coverage.amax(-1) > 0


def _other_logits(mask_logits, explained_logits, coverage):
    """`mask_logits` with minus infinity for the classes that the image shows; arguments as in `patch_loss`."""
    own = (mask_logits.unsqueeze(1) == explained_logits.unsqueeze(-1)) & _shown(coverage)[:, :, None, None]
    return mask_logits.masked_fill(own.any(1), -torch.inf)
