"""Copies of a model with random parameters, for the parameter-randomisation check."""

from copy import deepcopy
from typing import Any

import torch

from ..metrics.randomization import STAGES


def randomized_models(model: Any, seed: int = 0) -> dict[str, torch.nn.Module]:
    """Copies of a PM-ViT, one per stage of the cascade, with parameters initialised as at the start of a training."""
    layers = model.layers
    norms = [norm for norm in (model.final_norm, model.mean_norm) if norm is not None]
    upper = [model.classifier, *norms, *layers[len(layers) // 2 :]]
    parts = {"classifier": [model.classifier], "upper_half": upper, "everything": [model]}
    copies = {}
    with torch.random.fork_rng(devices=[]):
        for stage in STAGES:
            torch.manual_seed(seed)
            copy = deepcopy(model)
            chosen = {id(module) for part in parts[stage] for module in part.modules()}
            for original, module in zip(model.modules(), copy.modules(), strict=True):
                if id(original) in chosen:
                    for parameter in module.parameters(recurse=False):
                        parameter._is_hf_initialized = False
                    model._init_weights(module)
            copies[stage] = copy.eval()
    return copies
