"""Ways to explain a ViT classifier, one a file, behind the interface [`Explainer`]."""

from .explainer import Explainer
from .patch_masks import patch_masks
from .registry import EXPLAINERS, explainers
from .rollout import attention_rollout

__all__ = ["EXPLAINERS", "Explainer", "attention_rollout", "explainers", "patch_masks"]
