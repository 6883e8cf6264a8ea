"""Explanation methods for ViT classifiers, one per file, with the common interface [`Explainer`]."""

from .explainer import Explainer
from .pm_vit_map import pm_vit_map
from .registry import EXPLAINERS, explainers
from .rollout import attention_rollout

__all__ = ["EXPLAINERS", "Explainer", "attention_rollout", "explainers", "pm_vit_map"]
