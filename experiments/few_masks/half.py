"""Writes the weights of a model in half precision, to hand them on in few megabytes."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from modeling_pm_vit.utils.errors import InputError, NotFoundError

from .plan import Run

MOST_BYTES = 12 * 2**20


def write_half(runs: Sequence[Run], variant: str, output: Path) -> Path:
    """
    The weights of the first trained run of a variant, as `output/VARIANT.safetensors` in float16.

    Raises:
        NotFoundError: if none is trained.
        InputError: if the file would be larger than 12 MiB, or a weight does not fit into half precision.
    """
    folders = [run.folder for run in runs if run.variant == variant and (run.folder / "model.safetensors").exists()]
    if not folders:
        raise NotFoundError(f"--keep {variant}: no run of this variant is trained.")
    weights = {name: value.half() for name, value in load_file(folders[0] / "model.safetensors").items()}
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise InputError(f"--keep {variant}: a weight of {folders[0]} does not fit into half precision.")
    size = sum(value.nbytes for value in weights.values())
    if size > MOST_BYTES:
        raise InputError(f"--keep {variant}: {size / 2**20:.1f} MiB in half precision, more than 12.")
    path = output / f"{variant}.safetensors"
    save_file(weights, path, {"format": "pt"})
    return path
