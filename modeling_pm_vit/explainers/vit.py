"""Access to ViT classifiers of transformers for the explainers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch

from ..backbone_pm_vit import pair
from ..utils.errors import InputError
from .families import FAMILIES, Parts

# A PM-ViT or a ViT classifier of one of the `FAMILIES`. `nn.Module` types every attribute as tensor or module.
ViTClassifier: TypeAlias = Any

NO_ATTENTIONS = (
    "a timm backbone gives no attentions, which raw-attention, rollout, relevance and legrad need: name others of the "
    "explainers."
)


def run(model: ViTClassifier, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
    """The outputs of an image classifier. Positions of a ViT are interpolated for images of another size."""
    family = FAMILIES.get(model.config.model_type)  # a PM-ViT does it by itself
    if family and family.interpolates:
        backbone = getattr(model, family.attribute)
        if tuple(pixel_values.shape[-2:]) != pair(backbone.config.image_size):
            kwargs["interpolate_pos_encoding"] = True
    return model(pixel_values, return_dict=True, **kwargs)


def run_with_tokens(model: ViTClassifier, pixel_values: torch.Tensor) -> tuple[Any, list[torch.Tensor]]:
    """As [`run`], with the tokens `(batch, tokens, hidden)` that leave each layer, before the final norm."""
    found: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(keep) for layer in Parts(model).layers]
    try:
        return run_with_attentions(model, pixel_values), found
    finally:
        for hook in hooks:
            hook.remove()


def run_with_attentions(model: ViTClassifier, pixel_values: torch.Tensor) -> Any:
    """As [`run`], with `attentions`: for each layer `(batch, heads, tokens, tokens)`, prefix tokens first."""
    backbone = Parts(model).backbone
    if not gives_attentions(model):
        raise InputError(NO_ATTENTIONS)
    implementation = backbone.config._attn_implementation
    change = implementation != "eager" and backbone._supports_attention_backend
    if change:  # other implementations return no attention maps
        backbone.set_attn_implementation("eager")
    try:
        outputs = run(model, pixel_values, output_attentions=True)
    finally:
        if change:
            backbone.set_attn_implementation(implementation)
    if not outputs.attentions or any(attention is None for attention in outputs.attentions):
        raise InputError(f"{type(model).__name__} gives attentions only if loaded with attn_implementation='eager'.")
    return outputs


def gives_attentions(model: ViTClassifier) -> bool:
    """Whether the backbone can say the attentions of its layers."""
    return bool(Parts(model).backbone.config.model_type != "timm_wrapper")


def class_labels(labels: Any, pixel_values: torch.Tensor, model: ViTClassifier) -> torch.Tensor:
    """
    The classes to explain, `(batch,)`, on the device of the images.

    Args:
        labels: an index for each image, as a tensor, array or list; or one for all of them.

    Raises:
        InputError: if their number is not that of the images, or there is no such class.
    """
    indices = torch.as_tensor(labels, device=pixel_values.device)
    if indices.ndim == 0:
        indices = indices.expand(len(pixel_values))
    if indices.shape != pixel_values.shape[:1] or indices.is_floating_point() or indices.is_complex():
        raise InputError(f"labels: expected {len(pixel_values)} class indices, one per image, got {labels!r}.")
    wrong = indices[(indices < 0) | (indices >= model.config.num_labels)].tolist()
    if wrong:
        raise InputError(f"labels: the model has the classes 0 ... {model.config.num_labels - 1}, got {wrong[0]}.")
    return indices.long()


def differentiable(pixel_values: torch.Tensor) -> torch.Tensor:
    """A copy that requires gradients, so that they exist even if every parameter is frozen."""
    return pixel_values.detach().clone().requires_grad_()


def total_score(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sum of the logits of `labels`. Its gradient with respect to an image is that of the logit of this image."""
    return logits.gather(1, labels.to(logits.device).clone().unsqueeze(1)).float().sum()


def patch_grid(model: ViTClassifier, pixel_values: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of patches."""
    patch_height, patch_width = pair(Parts(model).backbone.config.patch_size)
    return pixel_values.shape[-2] // patch_height, pixel_values.shape[-1] // patch_width


def as_maps(patches: torch.Tensor, model: ViTClassifier, pixel_values: torch.Tensor) -> np.ndarray:
    """Values of the patches, `(batch, patches)`, as maps `(batch, rows, columns)`, float32."""
    return patches.detach().unflatten(-1, patch_grid(model, pixel_values)).float().cpu().numpy()


def full_precision(tensor: torch.Tensor) -> torch.autocast:
    """A context without autocast, for what is made of the outputs of a model: only the model may be rounded."""
    return torch.autocast(tensor.device.type, enabled=False)


@contextmanager
def undisturbed(model: torch.nn.Module, gradients: bool = True) -> Iterator[None]:
    """
    Evaluation mode and frozen parameters inside the context; it restores modes, `requires_grad` and `grad`.

    Args:
        gradients: whether gradients are computed inside. If not, the parameters are left alone.
    """
    in_training = [module for module in model.modules() if module.training]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters() if gradients]
    try:
        if in_training:
            model.eval()
        if gradients:
            model.requires_grad_(False)
        yield
    finally:
        for module in in_training:
            module.training = True
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
