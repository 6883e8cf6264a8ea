"""PM-ViTs that differ from the package's in the mask loss or in where they read patches. None adds a parameter."""

import torch
from torch import nn

from modeling_pm_vit.configuration_pm_vit import PMViTConfig
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification, sigmoid_patch_loss, softmax_patch_loss

# Shapes of `patch_loss`: mask_logits (images, patches, classes), explained_logits and coverage (images, K, patches),
# explain_labels (images, K); it returns (images, patches).


class VariantModel(PMViTForImageClassification):
    """
    Saved as a plain PM-ViT. A variant that also differs at inference (`EarlierPatches`, `PooledLogits`) must be loaded
    by its own class.
    """

    _auto_class = None


class TargetOnly(VariantModel):
    """Binary cross-entropy for the classes whose masks are known; the other classes have no loss."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        loss = nn.functional.softplus(explained_logits) - explained_logits * coverage
        return (loss * _shown(coverage).unsqueeze(-1)).sum(1)


class HardNegative(TargetOnly):
    """[`TargetOnly`], and at each patch the most probable class that the image does not show, as a negative."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        others = _other_logits(mask_logits, coverage, explain_labels)
        hardest = nn.functional.softplus(others.amax(-1))
        return super().patch_loss(mask_logits, explained_logits, coverage, explain_labels) + hardest


class SampledNegative(TargetOnly):
    """[`TargetOnly`], and for each image one random class as a negative, unless the image shows it."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        others = _other_logits(mask_logits, coverage, explain_labels)
        images, patches, classes = others.shape
        drawn = torch.randint(classes, (images, 1, 1), device=others.device).expand(-1, patches, -1)
        absent = nn.functional.softplus(others.gather(-1, drawn).squeeze(-1))
        return super().patch_loss(mask_logits, explained_logits, coverage, explain_labels) + absent


class SoftmaxAndTarget(TargetOnly):
    """The softmax loss (background of logit 0) over all classes plus [`TargetOnly`]."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        softmax = softmax_patch_loss(mask_logits, explained_logits, coverage)
        return softmax + super().patch_loss(mask_logits, explained_logits, coverage, explain_labels)


class LightSigmoid(VariantModel):
    """The joint loss with a quarter of its sigmoid part."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        inputs = mask_logits, explained_logits, coverage
        return softmax_patch_loss(*inputs) + sigmoid_patch_loss(*inputs) / 4


class DiceToo(VariantModel):
    """The configured mask loss plus 1 minus the soft Dice coefficient of each class whose mask is known."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        probabilities = explained_logits.sigmoid()
        shown = _shown(coverage)
        overlap, total = (probabilities * coverage).sum(-1), (probabilities + coverage).sum(-1)
        dice = torch.where(shown, 1 - 2 * overlap / total, 0.0).sum(1) / shown.sum(1).clamp(min=1)
        return super().patch_loss(mask_logits, explained_logits, coverage, explain_labels) + dice.unsqueeze(-1)


class UniformBackground(VariantModel):
    """Softmax over the classes alone; the target of a background patch is the uniform distribution."""

    def patch_loss(self, mask_logits, explained_logits, coverage, explain_labels):
        share = coverage / coverage.sum(1, keepdim=True).clamp(min=1)
        rest = 1 - share.sum(1)  # (images, patches)
        return mask_logits.logsumexp(-1) - (explained_logits * share).sum(1) - rest * mask_logits.mean(-1)


class DetachedBackbone(VariantModel):
    """The mask loss has no gradient into the ViT; it trains the classifier only."""

    def _mask_loss(self, patches: torch.Tensor, *args) -> torch.Tensor:
        return super()._mask_loss(patches.detach(), *args)


class EarlierPatches(VariantModel):
    """The patch tokens are taken before the last layer; only the [CLS] token passes through it."""

    def __init__(self, config: PMViTConfig):
        super().__init__(config)
        self.vit.layers[-1].register_forward_hook(_keep_patches)


class PooledLogits(VariantModel):
    """
    The image logits are the mean of the [CLS] logits and of the pooled patch logits. A patch is weighted by the
    probability that it is not background (softmax over the classes and a background of logit 0).
    """

    def image_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        logits = self.classifier(tokens)  # (batch, 1 + patches, classes)
        patches = logits[:, 1:]
        foreground = patches.logsumexp(-1, keepdim=True).sigmoid()
        pooled = (foreground * patches).sum(1) / foreground.sum(1).clamp(min=1e-3)
        return (logits[:, 0] + pooled) / 2


def _keep_patches(layer: nn.Module, inputs: tuple[torch.Tensor, ...], tokens: torch.Tensor) -> torch.Tensor:
    return torch.cat((tokens[:, :1], inputs[0][:, 1:]), 1)


def _shown(coverage: torch.Tensor) -> torch.Tensor:
    """Which slots hold a class that the image shows, `(images, K)`. Empty slots cover nothing."""
    return coverage.amax(-1) > 0


def _other_logits(mask_logits: torch.Tensor, coverage: torch.Tensor, explain_labels: torch.LongTensor) -> torch.Tensor:
    """
    `mask_logits` with minus infinity for the classes that the image shows. These are found by their indices: in
    bfloat16 another class often has exactly the same logit.
    """
    own = torch.zeros(len(mask_logits), mask_logits.shape[-1], device=mask_logits.device)  # (images, classes)
    own.scatter_add_(1, explain_labels.clamp(min=0), _shown(coverage).float())  # an empty slot, -100, adds 0
    return mask_logits.masked_fill(own.unsqueeze(1) > 0, -torch.inf)
