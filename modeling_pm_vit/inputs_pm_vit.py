"""Checks of what the model is given. The messages state what was expected and what was found."""

import torch

from .configuration_pm_vit import PMViTConfig
from .explanation_pm_vit import IGNORE
from .loss_pm_vit import has_binary_labels

CHECK_EVERY = 100  # calls with labels on an accelerator


def check_images(pixel_values: torch.Tensor, config: PMViTConfig) -> tuple[int, int]:
    """Height and width of the images. Raises ValueError if the patch size does not divide them."""
    expected = f"pixel_values must have the shape (batch, {config.num_channels}, height, width)"
    if pixel_values is None or pixel_values.ndim != 4 or pixel_values.shape[1] != config.num_channels:
        raise ValueError(f"{expected}, got {None if pixel_values is None else tuple(pixel_values.shape)}.")
    height, width = pixel_values.shape[-2:]
    patch = config.patch_size
    patch_height, patch_width = (patch, patch) if isinstance(patch, int) else patch
    if height % patch_height or width % patch_width:
        raise ValueError(f"{expected} with sides that the patch size {patch} divides, got {height} x {width}.")
    return height, width


def check_labels(labels: torch.Tensor, batch_size: int, config: PMViTConfig) -> None:
    """Raises ValueError if labels do not have the shape and type of [`image_classification_loss`]."""
    if config.problem_type == "regression":
        raise ValueError(
            "problem_type is 'regression', but PM-ViT predicts classes: leave it out, or set "
            "'multi_label_classification' for classes that are present or absent each on its own."
        )
    if labels.shape[:1] != (batch_size,):
        raise ValueError(f"labels must begin with the batch size {batch_size}, got the shape {tuple(labels.shape)}.")
    found, classes = f"got {labels.dtype} of shape {tuple(labels.shape)}", config.num_labels
    if not has_binary_labels(config, labels):
        if labels.is_floating_point() or labels.numel() != batch_size:
            raise ValueError(f"labels must be indices of classes, integers of shape (batch,), {found}.")
    elif classes > 1 and (labels.shape[1:] != (classes,) or not labels.is_floating_point()):
        raise ValueError(
            f"multi-label classification needs labels as floats of shape (batch, num_labels = {classes}), {found}."
        )
    elif labels.numel() != batch_size * classes:
        raise ValueError(f"a single class needs labels of 0 and 1 of shape (batch,) or (batch, 1), {found}.")


def check_values(
    pixel_values: torch.Tensor,
    labels: torch.Tensor | None,
    mask_labels: torch.Tensor | None,
    explain_labels: torch.Tensor | int | None,
    config: PMViTConfig,
) -> None:
    """
    Raises ValueError if pixels are NaN or infinite, an index is that of no class, or a probability or fraction is out
    of its range.

    Reading from an accelerator waits for all its earlier work, so everything is read at once, and pixels on an
    accelerator are read with labels only.
    """
    given = []  # the name, the values, the least one, and whether they are indices of classes
    if labels is not None:
        binary = has_binary_labels(config, labels)
        name = "labels of classes that are present (1) or absent (0)" if binary else "labels"
        given.append((name, labels, 0, not binary))
    if mask_labels is not None:
        given.append(("mask_labels", mask_labels, -1, False))
    if explain_labels is not None and not isinstance(explain_labels, int):
        given.append(("explain_labels", torch.as_tensor(explain_labels), 0, True))
    last = config.num_labels - 1 if given else 0
    wrong = [
        ~(((x >= low) & (x <= (last if index else 1))) | (x == IGNORE)) for _, x, low, index in given
    ]  # NaN is wrong too

    device = pixel_values.device
    failed = [x.any().to(device) for x in wrong]
    if labels is not None or device.type == "cpu":
        # A sum takes 2 % of the time of `torch.isfinite(pixel_values).all()`, which then tells whether it overflowed.
        failed.append(~pixel_values.detach().sum().isfinite())
    if not any(torch.stack(failed).tolist() if failed and device.type != "cpu" else failed):
        return
    for (name, values, low, index), where in zip(given, wrong, strict=True):
        if where.any():
            expected = f"0 ... {last} (or be {IGNORE})" if index else f"[{low}, 1] (or be {IGNORE}, unknown)"
            raise ValueError(f"{name} must lie in {expected}, got {values[where][0].item()}.")
    if not torch.isfinite(pixel_values).all():
        raise ValueError("pixel_values must be finite, got NaN or infinity.")


__all__ = ["CHECK_EVERY", "check_images", "check_labels", "check_values"]
