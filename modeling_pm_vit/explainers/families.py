"""The parts of ViT classifiers that explainers need, and what their heads read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from ..backbone_pm_vit import FAMILIES as BACKBONES
from ..backbone_pm_vit import Family, Pooling, norm_of_mean, normalized_as_mean, own_pooling
from ..classifier_pm_vit import class_logits
from ..utils.errors import InputError

# The classifiers of transformers whose parts are known, by the `model_type` of the whole model.
FAMILIES: dict[str, Family] = {
    **{kind: BACKBONES[kind] for kind in ("vit", "vit_msn", "deit", "dinov2", "dinov2_with_registers", "ijepa")},
    "beit": BACKBONES["beit"],
    "data2vec-vision": replace(BACKBONES["beit"], attribute="data2vec_vision", layers="encoder.layer"),
    "clip": BACKBONES["clip_vision_model"],
    "metaclip_2": BACKBONES["clip_vision_model"],
    "siglip": BACKBONES["siglip_vision_model"],
}


def family_of(model: Any) -> Family | None:
    """The family of a PM-ViT or of another classifier, if it is known."""
    found: Family | None = getattr(model, "family", None) or FAMILIES.get(model.config.model_type)
    return found


class Parts:
    """
    The parts of a ViT classifier.

    Args:
        model: a PM-ViT, or a classifier of one of the [`FAMILIES`].

    Attributes:
        backbone, layers, first_norm, final_norm, mean_norm, heads: modules; the last two can be none, and several.
        prefix: number of tokens before the patches.
        reads: the final tokens that the head reads: as the pooling of a PM-ViT; or class and distillation token, each
            with a head of its own, whose logits are averaged.

    Raises:
        InputError: if the model is another one, or has no classifier.
    """

    def __init__(self, model: Any):
        family, name = family_of(model), type(model).__name__
        if family is None:
            raise InputError(
                f"{name} is not one of the ViTs whose parts the explainers know ({', '.join(FAMILIES)}): only "
                "integrated-gradients and rise explain other classifiers."
            )
        two = hasattr(model, "distillation_classifier")
        heads = ("cls_classifier", "distillation_classifier") if two else ("classifier",)
        if not all(isinstance(getattr(model, head, None), nn.Module) for head in heads):
            raise InputError(f"{name} has no classifier, whose classes could be explained.")
        self.family = family
        self.heads: list[nn.Module] = [getattr(model, head) for head in heads]
        self.backbone: Any = getattr(model, family.attribute)
        self.layers: Sequence[nn.Module] = self.backbone.get_submodule(family.layers)
        self.final_norm: nn.Module = (
            self.backbone.get_submodule(family.final_norm) if family.final_norm else nn.Identity()
        )
        self.mean_norm = norm_of_mean(self.backbone, family)
        registers = getattr(self.backbone.config, "num_register_tokens", 0)
        self.prefix: int = getattr(model, "num_prefix_tokens", family.prefix + registers)
        self.reads: Pooling | Literal["two classes"] = (
            "two classes" if two else getattr(model.config, "pooling", None) or own_pooling(model.config, family)
        )

    @property
    def first_norm(self) -> nn.Module:
        """The norm before the attention of the last layer."""
        return self.layers[-1].get_submodule(self.family.first_norm)

    def rows_of_head(self, matrix: torch.Tensor) -> torch.Tensor:
        """From tokens x tokens `(batch, tokens, tokens)`, the mean row of what the head reads, `(batch, patches)`."""
        if self.reads == "mean":
            row = matrix[:, self.prefix :].mean(1)
        elif self.reads == "two classes":
            row = matrix[:, :2].mean(1)
        elif self.reads == "cls_mean":
            row = (matrix[:, 0] + matrix[:, self.prefix :].mean(1)) / 2
        else:
            row = matrix[:, 0]
        return row[:, self.prefix :]

    def logits_of(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits `(batch, num_labels)` if all that the head reads were these tokens `(batch, hidden)`."""
        if self.mean_norm is not None:
            tokens = self.mean_norm(tokens)
        if self.reads == "cls_mean":
            tokens = torch.cat((tokens, tokens), -1)
        return torch.stack([head(tokens) for head in self.heads]).mean(0)

    def patch_logits(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """
        The logits `(batch, patches)` if the head read one patch in place of its class tokens or of the mean; a norm of
        the mean centres and scales each patch as the mean of the image. A head on the class token and the mean reads
        the class token of the image with each patch.

        Args:
            tokens: final ones, `(batch, tokens, hidden)`.
            labels: `(batch,)`.
        """
        patches = tokens[:, self.prefix :]
        if self.mean_norm is not None:
            patches = normalized_as_mean(self.mean_norm, patches)
        if self.reads == "cls_mean":
            patches = torch.cat((tokens[:, :1].expand_as(patches), patches), -1)
        labels = labels.to(patches.device).unsqueeze(1)
        found = [class_logits(head, patches, labels).squeeze(1) for head in self.heads]
        return torch.stack(found).mean(0)
