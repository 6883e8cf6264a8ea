"""Whole explanations, from pixels to heat maps of the image's size in main memory: PM-ViT against every explainer."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from modeling_pm_vit.evaluation.cost import vit_baseline
from modeling_pm_vit.explainers import Explainer, explainers
from modeling_pm_vit.explainers.vit import undisturbed
from modeling_pm_vit.metrics.heatmaps import resized
from modeling_pm_vit.utils.timing import CPU, compare, reverse

from .flops import matrix_flops
from .machine import describe
from .models import SIZES, random_pm_vit, timm_baseline
from .peak_memory import peak_mib

_TOP = 5
_MANY_PASSES = 5  # explainers of more are measured on one image
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
OURS = "pm-vit"
_SOME = ("random", "raw-attention", "rollout", "grad-cam", "relevance", "legrad", "integrated-gradients", "rise", OURS)


def measure(quick: bool = False, device: str = "cpu", seconds: float | None = None) -> dict:
    """
    Args:
        seconds: approximate time spent on each pair, by default 4, with `quick` 0.5; at least five rounds, two for
            methods of many passes.

    Returns:
        `machine`; the results of [`measure_explainers`] at ViT-S size and 1,000 classes, for all explainers in fp32 and
        for those of few passes in bf16; `batch`: images per call; `rise_masks` and `integration_steps`.
    """
    device = torch.device(device)
    size = SIZES["Ti" if quick else "S"]
    seconds = seconds or (0.5 if quick else 4.0)
    batch = 32 if device.type == "cuda" else 2 if quick else 1
    masks, steps = (32, 8) if quick else (128, 50)
    methods = explainers(rise_masks=masks, integration_steps=steps)
    some = {name: methods[name] for name in _SOME}
    few_passes = {name: method for name, method in some.items() if method.forward_passes <= _MANY_PASSES}
    results = {"machine": describe(device), "batch": batch, "pairs": {}, "images_per_second": {}, "peak_mib": {}}
    results["matrix_passes"] = {}
    model = random_pm_vit(size, 1000).to(device)
    images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(device)
    chosen_by_dtype = {"fp32": some} if quick else {"fp32": methods, "bf16": few_passes}
    for name, chosen in chosen_by_dtype.items():
        dtype = _DTYPES[name]
        found = measure_explainers(chosen, model.to(dtype), images.to(dtype), seconds, device, prefix=name)
        for key, values in found.items():
            results[key] |= values
    return results | {"rise_masks": masks, "integration_steps": steps}


def measure_explainers(
    methods: dict[str, Explainer],
    model: nn.Module,
    pixel_values: torch.Tensor,
    seconds: float,
    device: torch.device = CPU,
    prefix: str = "fp32",
) -> dict[str, dict]:
    """
    Args:
        methods: PM-ViT included.
        model: a PM-ViT.
        pixel_values: a batch of images; methods of many passes get the first alone.
        seconds: approximate time spent on each pair.

    Returns:
        `pairs`: `PREFIX/NAME/top1`, time of the method over that of PM-ViT for one class per image, and
        `PREFIX/NAME/top5` for five classes (methods of a few forward and backward passes);
        `PREFIX/plain` and `PREFIX/timm`, PM-ViT's time in forward passes of the two libraries' plain classifiers;
        `PREFIX/pixel-gradient`, time of a logit's gradient in the plain classifier over that of PM-ViT.
        `images_per_second`, `peak_mib` (beyond the weights) and [`matrix_passes`] of each.
    """
    pairs, speed, memory = {}, {}, {}
    ours = methods[OURS]
    plain, timm = vit_baseline(model), timm_baseline(model)
    for name, forward in (("plain", lambda: plain(pixel_values)), ("timm", lambda: timm(pixel_values))):
        forward = torch.inference_mode()(forward)
        pair = compare(full_size(ours, model, pixel_values, 1), forward, seconds, device)
        pairs[f"{prefix}/{name}"] = pair
        speed[f"{prefix}/{name}"] = len(pixel_values) / pair["theirs_seconds"]
        memory[f"{prefix}/{name}"] = peak_mib(forward, device)
    pairs[f"{prefix}/pixel-gradient"] = reverse(
        compare(full_size(ours, model, pixel_values, 1), lambda: _pixel_gradient(plain, pixel_values), seconds, device)
    )
    for top in (1, _TOP):
        call = full_size(ours, model, pixel_values, top)
        key = f"{prefix}/{OURS}/top{top}"
        pair = compare(call, full_size(ours, model, pixel_values, 1), seconds, device)
        speed[key], memory[key] = len(pixel_values) / pair["ours_seconds"], peak_mib(call, device)
    for name, top, images, least in tqdm(
        list(_plan(methods, pixel_values)), desc=f"baselines, {prefix}", unit="method"
    ):
        theirs = full_size(methods[name], model, images, top)
        key = f"{prefix}/{name}/top{top}"
        pair = compare(full_size(ours, model, images, top), theirs, seconds, device, least)
        pairs[key] = reverse(pair)
        speed[key] = len(images) / pair["theirs_seconds"]
        if least > 2:
            memory[key] = peak_mib(theirs, device)
    arithmetic = {
        f"{prefix}/{name}/top1": passes for name, passes in matrix_passes(methods, model, pixel_values).items()
    }
    return {"pairs": pairs, "images_per_second": speed, "peak_mib": memory, "matrix_passes": arithmetic}


def matrix_passes(methods: dict[str, Explainer], model: nn.Module, pixel_values: torch.Tensor) -> dict[str, float]:
    """
    Operations of the matrix products of each method, for one class, over those of the plain classifier; all with eager
    attention, whose operations can be counted. Methods of many passes are left out.
    """
    plain, images, implementation = vit_baseline(model), pixel_values[:1], model.config._attn_implementation
    labels = torch.zeros(1, dtype=torch.long, device=images.device)
    plain.set_attn_implementation("eager")
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            one_pass = matrix_flops(lambda: plain(images))
        return {
            name: matrix_flops(lambda method=method: method(model, images, labels)) / one_pass
            for name, method in methods.items()
            if method.forward_passes <= _MANY_PASSES
        }
    finally:
        model.set_attn_implementation(implementation)


def _pixel_gradient(plain: nn.Module, pixel_values: torch.Tensor) -> torch.Tensor:
    images = pixel_values.detach().clone().requires_grad_()
    with undisturbed(plain):
        return torch.autograd.grad(plain(images).logits[:, 0].float().sum(), images)[0]


def _plan(methods: dict[str, Explainer], pixel_values: torch.Tensor) -> Iterator[tuple[str, int, torch.Tensor, int]]:
    """Name, number of classes, images and minimum number of rounds."""
    for name, method in methods.items():
        if name == OURS:
            continue
        many = method.forward_passes > _MANY_PASSES
        yield name, 1, pixel_values[:1] if many else pixel_values, 2 if many else 5
        if method.backward_passes and not many:
            yield name, _TOP, pixel_values, 5


def full_size(method: Explainer, model: nn.Module, pixel_values: torch.Tensor, top: int) -> Callable[[], np.ndarray]:
    """
    A call that explains `top` given classes of each image: `(batch, top, height, width)`.

    PM-ViT explains them in one pass. The other methods get each image once per class, as their libraries require.
    """
    batch, size = len(pixel_values), tuple(pixel_values.shape[-2:])
    labels = torch.arange(top, device=pixel_values.device).expand(batch, -1)
    if method.name == OURS:

        @torch.inference_mode()
        def explain() -> np.ndarray:
            maps = model(pixel_values, explain_labels=labels).mask_logits.float().sigmoid()
            return resized(maps.flatten(0, 1).cpu().numpy(), size).reshape(batch, top, *size)

        return explain
    repeated = pixel_values.repeat_interleave(top, 0)

    def explain_each() -> np.ndarray:
        return resized(method(model, repeated, labels.flatten()), size).reshape(batch, top, *size)

    return explain_each
