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
from torch import nn
from torch.utils.data import Dataset

from ..backbone_pm_vit import layer_arguments
from ..data.samplers import Sample
from ..modeling_pm_vit import PMViTForImageClassification, PMViTImageClassifierOutput
from ..utils.errors import InputError
from ..utils.files import atomic_write
from .optimization import depths


class FrozenLayers:
    """
    The frozen and the trainable part of a model, as two functions.

    Args:
        count: number of frozen layers; the embeddings are frozen too.
        bf16: compute the frozen part in bfloat16 autocast.
    """

    def __init__(self, model: PMViTForImageClassification, count: int, bf16: bool = False):
        if not 0 < count <= len(model.layers):
            raise InputError(
                f"--feature_epochs caches the features of frozen layers: --frozen_layers must lie in 1 ... "
                f"{len(model.layers)}, got {count}."
            )
        self.model, self.count, self.bf16 = model, count, bf16

    @torch.no_grad()
    def tokens(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The outputs `(batch, prefix + patches, hidden)` of the frozen layers, in half precision."""
        device = self.model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            tokens = _output_of(self.model.layers[self.count - 1], self.model, pixel_values.to(device))
        tokens = tokens.to(torch.float16).contiguous()
        if not torch.isfinite(tokens).all():
            raise InputError(
                "the outputs of the frozen layers exceed the range of half precision: train without --feature_epochs."
            )
        return tokens

    def finish(self, tokens: torch.Tensor, grid: tuple[int, int], **inputs: Any) -> PMViTImageClassifierOutput:
        """The output of the model for the images of these `tokens`; `grid`: number of rows and columns of patches."""
        tokens = tokens.to(self.model.dtype)
        arguments = layer_arguments(self.model.base_model, grid, tokens)
        for layer in self.model.layers[self.count :]:
            tokens = layer(tokens, **arguments)
        return self.model.explain_tokens(self.model.final_norm(tokens), grid, **inputs)

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """A hash of everything that cached batches depend on: the frozen weights, and settings that JSON can hold."""
        digest = hashlib.sha256(json.dumps([settings, self.count, self.bf16], sort_keys=True, default=str).encode())
        depth = depths(self.model)
        for name, tensor in self.model.named_parameters():
            if depth[name] <= self.count:
                digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class _Reached(Exception):  # noqa: N818 # no error: it ends a forward pass
    """The output of a layer, thrown so that the layers after it do not run."""


def _output_of(layer: nn.Module, model: PMViTForImageClassification, pixel_values: torch.Tensor) -> torch.Tensor:
    def stop(module: nn.Module, inputs: Any, output: Any) -> None:
        raise _Reached(output)

    hook = layer.register_forward_hook(stop)
    try:
        model.run_backbone(pixel_values)
    except _Reached as reached:
        tokens: torch.Tensor = reached.args[0]
        return tokens
    finally:
        hook.remove()
    raise AssertionError("a layer did not run.")


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
