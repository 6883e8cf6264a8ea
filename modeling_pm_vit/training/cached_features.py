"""Frozen layers computed once: the batches of a few epochs are kept as the tokens behind those layers, and come again
and again. Fine-tuning the last layers of a ViT on a few hundred photographs then takes minutes on a CPU.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset

from ..modeling_pm_vit import PMViTForImageClassification, PMViTImageClassifierOutput
from ..utils.files import atomic_write


class FrozenLayers:
    """
    The frozen and the learning part of a model, each on its own.

    Args:
        count: of the layers that are frozen, with the embeddings.
        bf16: compute the frozen part in bfloat16 where that loses no range.
    """

    def __init__(self, model: PMViTForImageClassification, count: int, bf16: bool = False):
        if not 0 < count <= len(model.vit.layers):
            raise ValueError(
                f"features are kept behind frozen layers: their number must lie in 1 ... {len(model.vit.layers)}, got "
                f"{count}."
            )
        self.model, self.count, self.bf16 = model, count, bf16

    @torch.no_grad()
    def tokens(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`(batch, 1 + patches, hidden)` behind the frozen layers, in half precision."""
        device, embeddings = self.model.device, self.model.vit.embeddings
        resized = tuple(pixel_values.shape[-2:]) != tuple(embeddings.image_size)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            tokens = embeddings(pixel_values.to(device), interpolate_pos_encoding=resized)
            for layer in self.model.vit.layers[: self.count]:
                tokens = layer(tokens)
        tokens = tokens.to(torch.float16).contiguous()
        if not torch.isfinite(tokens).all():
            raise ValueError("the frozen layers gave numbers beyond half precision: train without kept features.")
        return tokens

    def finish(self, tokens: torch.Tensor, grid: torch.Tensor, **inputs) -> PMViTImageClassifierOutput:
        """What the model gives for the images whose `tokens` these are; `grid`: rows and columns of patches."""
        tokens = tokens.to(self.model.dtype)
        for layer in self.model.vit.layers[self.count :]:
            tokens = layer(tokens)
        return self.model.explain_tokens(self.model.vit.layernorm(tokens), tuple(grid.tolist()), **inputs)

    def fingerprint(self, settings: Mapping) -> str:
        """Of all that kept batches depend on: the frozen weights, and settings that JSON can hold."""
        digest = hashlib.sha256(json.dumps([settings, self.count, self.bf16], sort_keys=True, default=str).encode())
        for part in (self.model.vit.embeddings, *self.model.vit.layers[: self.count]):
            for name, tensor in part.state_dict().items():
                digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class CachedFeatureDataset(Dataset):
    """
    Takes the list of [`Sample`]s of a batch, gives the batch with `tokens` and `grid` in place of `pixel_values`.

    Args:
        make: from the list of draws to the batch with its pixels.
        frozen: the layers that are computed once.
        folder: of the kept batches, one file each. What is there is not computed again, by whatever run.
    """

    def __init__(self, make: Callable[[Sequence], dict], frozen: FrozenLayers, folder: Path):
        self.make, self.frozen, self.folder = make, frozen, folder
        folder.mkdir(parents=True, exist_ok=True)

    def __getitems__(self, draws: Sequence) -> dict[str, torch.Tensor]:
        key = ", ".join(f"Draw(epoch={d.epoch}, position={d.position}, index={d.index})" for d in draws)
        file = self.folder / f"{hashlib.sha256(f'[{key}]'.encode()).hexdigest()[:24]}.safetensors"
        if not file.exists():
            batch = self.make(draws)
            pixel_values = batch.pop("pixel_values")
            batch["grid"] = torch.tensor(batch["mask_labels"].shape[-2:])
            batch["tokens"] = self.frozen.tokens(pixel_values).cpu()
            bad = batch.pop("bad_samples", [])
            with atomic_write(file) as part:
                save_file(batch, part)
            return batch | ({"bad_samples": bad} if bad else {})
        return load_file(file)
