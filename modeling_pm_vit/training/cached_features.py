"""Cached features for partial fine-tuning: the outputs of the frozen layers are computed once, for the batches of a few
epochs, and reused in later epochs. Fine-tuning on a few hundred photographs then takes minutes on a CPU.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset

from ..data.samplers import Sample
from ..modeling_pm_vit import PMViTForImageClassification, PMViTImageClassifierOutput
from ..utils.errors import InputError
from ..utils.files import atomic_write


class FrozenLayers:
    """
    The frozen and the trainable part of a model, as two functions.

    Args:
        count: number of frozen layers; the embeddings are frozen too.
        bf16: compute the frozen part in bfloat16 autocast.
    """

    def __init__(self, model: PMViTForImageClassification, count: int, bf16: bool = False):
        if not 0 < count <= len(model.vit.layers):
            raise InputError(
                f"--feature_epochs caches the features of frozen layers: --frozen_layers must lie in 1 ... "
                f"{len(model.vit.layers)}, got {count}."
            )
        self.model, self.count, self.bf16 = model, count, bf16

    @torch.no_grad()
    def tokens(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The outputs `(batch, 1 + patches, hidden)` of the frozen layers, in half precision."""
        device, embeddings = self.model.device, self.model.vit.embeddings
        resized = tuple(pixel_values.shape[-2:]) != tuple(embeddings.image_size)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            tokens = embeddings(pixel_values.to(device), interpolate_pos_encoding=resized)
            for layer in self.model.vit.layers[: self.count]:
                tokens = layer(tokens)
        tokens = tokens.to(torch.float16).contiguous()
        if not torch.isfinite(tokens).all():
            raise InputError(
                "the outputs of the frozen layers exceed the range of half precision: train without --feature_epochs."
            )
        return tokens

    def finish(self, tokens: torch.Tensor, grid: tuple[int, int], **inputs: Any) -> PMViTImageClassifierOutput:
        """The output of the model for the images of these `tokens`; `grid`: number of rows and columns of patches."""
        tokens = tokens.to(self.model.dtype)
        for layer in self.model.vit.layers[self.count :]:
            tokens = layer(tokens)
        return self.model.explain_tokens(self.model.vit.layernorm(tokens), grid, **inputs)

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """A hash of everything that cached batches depend on: the frozen weights, and settings that JSON can hold."""
        digest = hashlib.sha256(json.dumps([settings, self.count, self.bf16], sort_keys=True, default=str).encode())
        for part in (self.model.vit.embeddings, *self.model.vit.layers[: self.count]):
            for name, tensor in part.state_dict().items():
                digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class CachedFeatureDataset(Dataset[dict[str, Any]]):
    """
    Maps the list of [`Sample`]s of a batch to the batch, with `tokens` in place of `pixel_values`.

    Args:
        make_batch: makes the batch with its pixel values of the samples.
        frozen: the layers whose outputs are cached.
        folder: of the cached batches, one file each. A file that exists is reused, whichever run has written it.

    Attributes:
        computed, seconds: how many batches were computed, not reused, and how long that took.
    """

    def __init__(self, make_batch: Callable[[Sequence[Sample]], dict[str, Any]], frozen: FrozenLayers, folder: Path):
        self.make_batch, self.frozen, self.folder = make_batch, frozen, folder
        self.computed, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def __getitems__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        file = self.file(samples)
        if file.exists():
            saved = load_file(file)
            saved.pop("grid", None)  # of earlier versions
            return saved
        start = time.perf_counter()
        batch = self.make_batch(samples)
        pixel_values = batch.pop("pixel_values")
        batch["tokens"] = self.frozen.tokens(pixel_values).cpu()
        bad = batch.pop("bad_samples", [])
        with atomic_write(file) as part:
            save_file(batch, part)
        self.computed, self.seconds = self.computed + 1, self.seconds + time.perf_counter() - start
        return batch | ({"bad_samples": bad} if bad else {})

    def file(self, samples: Sequence[Sample]) -> Path:
        # The word "Draw" is part of the names of the files that earlier versions have written.
        key = ", ".join(f"Draw(epoch={s.epoch}, position={s.position}, index={s.index})" for s in samples)
        return self.folder / f"{hashlib.sha256(f'[{key}]'.encode()).hexdigest()[:24]}.safetensors"
