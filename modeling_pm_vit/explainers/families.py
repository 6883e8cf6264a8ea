"""Where the ViT classifiers of transformers keep what explainers need, and what their heads read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from ..classifier_pm_vit import class_logits
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError

Reads = Literal["class", "two classes", "mean", "class and mean"]


@dataclass(frozen=True)
class Family:
    """
    Args:
        reads: the final tokens that the head reads: the class token; class and distillation token, each with a head of
            its own, whose logits are averaged; the mean of the patches; or class token and mean, concatenated.
        prefix: number of tokens before the patches: class, distillation and register tokens.
        backbone: attribute of the classifier; by default the base model.
        layers, first_norm, final_norm: attributes of the backbone, of a layer (before its attention), and of the
            backbone ("" if the head reads tokens as they leave the last layer).
        mean_norm: attribute of the backbone: the norm after the mean, if there is one.
        interpolates: whether `forward` takes `interpolate_pos_encoding`.
    """

    reads: Reads = "class"
    prefix: int = 1
    backbone: str = ""
    layers: str = "layers"
    first_norm: str = "layernorm_before"
    final_norm: str = "layernorm"
    mean_norm: str = ""
    interpolates: bool = True


_DINOV2 = Family("class and mean", layers="encoder.layer", first_norm="norm1", interpolates=False)
_BEIT = Family("mean", mean_norm="pooler.layernorm")
_CLIP = Family("mean", backbone="vision_model", layers="encoder.layers", first_norm="layer_norm1", final_norm="")
FAMILIES = {  # by `model_type`
    "pm_vit": Family(),
    "vit": Family(),
    "vit_msn": Family(),
    "deit": Family(prefix=2),
    "dinov2": _DINOV2,
    "dinov2_with_registers": _DINOV2,
    "ijepa": Family("mean", prefix=0),
    "beit": _BEIT,
    "data2vec-vision": replace(_BEIT, layers="encoder.layer"),
    "clip": _CLIP,
    "metaclip_2": _CLIP,
    "siglip": replace(_CLIP, prefix=0, final_norm="post_layernorm"),
}


def _of_pm_vit(model: PMViTForImageClassification) -> Family:
    reads: dict[Any, Reads] = {"cls": "class", "mean": "mean", "cls_mean": "class and mean"}
    own = model.family
    return Family(reads[model.config.pooling], model.num_prefix_tokens, "", own.layers, own.first_norm, own.final_norm)


class Parts:
    """
    The parts of a ViT classifier.

    Raises:
        InputError: if the model is not of one of the [`FAMILIES`], or has no classifier.
    """

    def __init__(self, model: Any):
        family = FAMILIES.get(model.config.model_type)
        if isinstance(model, PMViTForImageClassification):
            family = _of_pm_vit(model)
        name = type(model).__name__
        if family is None:
            raise InputError(
                f"{name} is not one of the ViTs whose parts the explainers know ({', '.join(FAMILIES)}): only "
                "integrated-gradients and rise explain other classifiers."
            )
        if family is _DINOV2:
            family = replace(family, prefix=1 + getattr(model.config, "num_register_tokens", 0))
        if family.mean_norm and not model.config.use_mean_pooling:
            family = replace(family, reads="class", mean_norm="")
        if hasattr(model, "distillation_classifier"):
            family = replace(family, reads="two classes")
        heads = ("cls_classifier", "distillation_classifier") if family.reads == "two classes" else ("classifier",)
        if not all(isinstance(getattr(model, head, None), nn.Module) for head in heads):
            raise InputError(f"{name} has no classifier, whose classes could be explained.")
        self.family, self.reads, self.prefix = family, family.reads, family.prefix
        self.heads: list[nn.Module] = [getattr(model, head) for head in heads]
        self.backbone: Any = getattr(model, family.backbone) if family.backbone else model.base_model
        self.layers: Sequence[nn.Module] = self.backbone.get_submodule(family.layers)
        self.final_norm = self._norm(family.final_norm)
        self.mean_norm = self._norm(family.mean_norm)

    def _norm(self, name: str) -> nn.Module:
        norm: nn.Module = self.backbone.get_submodule(name) if name else nn.Identity()
        return norm

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
        elif self.reads == "class and mean":
            row = (matrix[:, 0] + matrix[:, self.prefix :].mean(1)) / 2
        else:
            row = matrix[:, 0]
        return row[:, self.prefix :]

    def logits_of(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits `(batch, num_labels)` if all that the head reads were these tokens `(batch, hidden)`."""
        tokens = self.mean_norm(tokens)
        if self.reads == "class and mean":
            tokens = torch.cat((tokens, tokens), -1)
        return torch.stack([head(tokens) for head in self.heads]).mean(0)

    def patch_logits(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """
        The logits `(batch, patches)` if the head read one patch in place of its class tokens or of the mean. A head on
        the class token and the mean reads the class token of the image with each patch.

        Args:
            tokens: final ones, `(batch, tokens, hidden)`.
            labels: `(batch,)`.
        """
        patches = self.mean_norm(tokens[:, self.prefix :])
        if self.reads == "class and mean":
            patches = torch.cat((tokens[:, :1].expand_as(patches), patches), -1)
        labels = labels.to(patches.device).unsqueeze(1)
        found = [class_logits(head, patches, labels).squeeze(1) for head in self.heads]
        return torch.stack(found).mean(0)
