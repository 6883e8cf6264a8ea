"""What an explanation costs, in forward passes of the plain classifier that it explains."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np
import torch
from transformers import ViTConfig, ViTForImageClassification

from ..explainers import Explainer

_MANY_PASSES = 5  # explainers of more are timed on one image, twice


def plain_classifier(model: torch.nn.Module) -> ViTForImageClassification:
    """The `ViTForImageClassification` of a PM-ViT's weights."""
    settings = {k: v for k, v in model.config.to_dict().items() if k in ViTConfig().to_dict() and k != "model_type"}
    plain = ViTForImageClassification(ViTConfig(**settings | {"num_labels": model.config.num_labels}))
    plain.load_state_dict(deepcopy(model.state_dict()))
    plain.set_attn_implementation(model.config._attn_implementation)
    return plain.to(model.device, model.dtype).eval()


def explanation_costs(
    explainers: Mapping[str, Explainer], model: torch.nn.Module, pixel_values: torch.Tensor, repeats: int = 5
) -> dict[str, dict[str, float]]:
    """
    Args:
        explainers: to be timed.
        model: a PM-ViT.
        pixel_values: a batch of images, of the model's own size.
        repeats: each time the plain classifier and the explainer, in turn, after one round that does not count.

    Returns:
        For each explainer `ratio`, the median over the rounds of its time divided by that of the plain classifier, and
        `low` and `high`, the smallest and the largest.
    """
    plain = plain_classifier(model)
    pixel_values = pixel_values.to(model.device, model.dtype)
    costs = {}
    for name, explainer in explainers.items():
        many = explainer.forward_passes > _MANY_PASSES
        images = pixel_values[:1] if many else pixel_values
        labels = torch.zeros(len(images), dtype=torch.long, device=model.device)

        def forward(images=images):
            with torch.no_grad():
                plain(pixel_values=images)

        def explain(explainer=explainer, images=images, labels=labels):
            explainer(model, images, labels)

        costs[name] = ratio(explain, forward, 2 if many else repeats, model.device, warm_up=not many)
    return costs


def ratio(
    ours: Callable[[], None], theirs: Callable[[], None], repeats: int, device: torch.device, warm_up: bool = True
) -> dict[str, float]:
    """The time of one call over that of another, called in turn: median, smallest and largest of the rounds."""
    rounds = []
    for number in range(repeats + warm_up):
        times = []
        for call in (theirs, ours) if number % 2 else (ours, theirs):
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            times.append(time.perf_counter() - start)
        rounds.append(times[1] / times[0] if number % 2 else times[0] / times[1])
    rounds = rounds[warm_up:]
    return {"ratio": float(np.median(rounds)), "low": min(rounds), "high": max(rounds)}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
