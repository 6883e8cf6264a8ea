"""Images per second of a training run against those of the same model fed from one batch of random tensors."""

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import TrainerCallback, ViTConfig, ViTForImageClassification

from modeling_pm_vit.configuration_pm_vit import PMViTConfig
from modeling_pm_vit.data.augmentation.mixing import MixingSettings
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.shard_readers import ParquetRows
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification, PMViTImageClassifierOutput
from modeling_pm_vit.training.run_arguments import PMViTTrainingArguments
from modeling_pm_vit.training.trainer import PMViTTrainer
from modeling_pm_vit.utils.timing import summarize

from .flops import matrix_flops
from .machine import describe
from .models import SIZES, Size
from .rows import write_rows
from .sweep import matmul_flops

_WARM_UP = 10  # steps, not counted
_PHOTOGRAPHS = 512


@dataclass(frozen=True)
class Case:
    """A model, its input, and the photographs (height, width) on disk."""

    size: Size
    image_size: int
    patch_size: int
    batch: int
    photographs: tuple[int, int]

    @property
    def settings(self) -> dict[str, int]:
        """Of the configuration of both models."""
        return {
            **{"image_size": self.image_size, "patch_size": self.patch_size, "num_labels": 200},
            **{"hidden_size": self.size.hidden, "intermediate_size": 4 * self.size.hidden},
            **{"num_hidden_layers": self.size.layers, "num_attention_heads": self.size.heads},
        }


CASES = {
    "Ti/8 at 64 px": Case(SIZES["Ti"], 64, 8, 512, (64, 64)),
    "S/16 at 224 px": Case(SIZES["S"], 224, 16, 256, (375, 500)),
    "B/16 at 224 px": Case(SIZES["B"], 224, 16, 128, (375, 500)),
}
QUICK = {"tiny": Case(Size(48, 2, 1, 0), 32, 8, 16, (48, 64))}


def measure(
    quick: bool = False,
    device: str = "cpu",
    compiled: bool = False,
    cases: Sequence[str] = (),
    rounds: int = 3,
    steps: int = 30,
) -> dict:
    """
    RandAugment, colour changes, CutMix and mosaics, a mask on 1 % of the images, bf16 on an accelerator, all cores.
    Every image is decoded whenever it comes.

    Args:
        compiled: use `torch.compile`.
        cases: names in `CASES`; by default all.
        rounds: runs of each kind.
        steps: of a run, after the warm-up.

    Returns:
        `pairs`: images per second of the run over those from random tensors; `.../plain`: the time of a PM-ViT step
        over that of a `ViTForImageClassification`, both from random tensors. `images_per_second`, `data_wait_share` and
        `model_flops_share` (of the device's measured matrix products) of the run; `mib_per_image` on a GPU.
    """
    place = torch.device(device)
    names = ("images_per_second", "data_wait_share", "model_flops_share", "mib_per_image")
    results: dict[str, Any] = {"machine": describe(place), "compiled": str(compiled), "pairs": {}}
    results |= {name: {} for name in names}
    side = 8192 if place.type == "cuda" else 1024
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    throughput = matmul_flops(side, place, dtype)
    results["matmul_tflops"] = throughput / 1e12
    chosen = QUICK if quick else {name: CASES[name] for name in cases or CASES}
    steps, rounds = (4, 2) if quick else (steps, rounds)
    for name, case in tqdm(chosen.items(), desc="feeds"):
        with tempfile.TemporaryDirectory() as folder:
            found = _measure_case(case, Path(folder), place, compiled, steps, rounds)
        results["pairs"] |= {name: found["run"], f"{name}/plain": found["plain"]}
        speed = found["images_per_second"]
        flops = 3 * _flops(case)  # a backward pass costs two forward passes
        results["images_per_second"][name] = speed
        results["data_wait_share"][name] = found["data_wait_share"]
        results["model_flops_share"][name] = speed * flops / throughput
        if place.type == "cuda":
            results["mib_per_image"][name] = found["peak"] / case.batch
    return results


class _Timed(PMViTTrainer):
    """
    Notes the seconds of the steps after the warm-up.

    Args:
        fixed: feed the first batch again and again.
    """

    def __init__(self, *args: Any, fixed: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fixed, self.batch = fixed, None
        self.seconds = 0.0
        self.add_callback(_Stopwatch(self))

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if not self.fixed:
            return super()._prepare_inputs(inputs)
        if self.batch is None:
            self.batch = super()._prepare_inputs(inputs)
        return dict(self.batch)

    def looks_ahead(self) -> bool:
        return super().looks_ahead() and not self.fixed

    def get_train_dataloader(self) -> Any:
        if not self.fixed:
            return super().get_train_dataloader()
        workers, self.args.dataloader_num_workers = self.args.dataloader_num_workers, 0
        loader = _Repeated(super().get_train_dataloader())
        self.args.dataloader_num_workers = workers
        return loader


class _Repeated:
    """The first batch of a loader, as often as it has batches."""

    def __init__(self, loader: Any):
        self.loader, self.batch_size = loader, loader.batch_size
        self.dataset, self.batch_sampler = loader.dataset, loader.batch_sampler
        self.first = next(iter(loader))

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        for _ in range(len(self)):
            yield dict(self.first)

    def set_epoch(self, epoch: int) -> None:
        pass


class _Endless:
    """Rows in memory, repeated: an epoch is as long as the run."""

    blocks = None

    def __init__(self, rows: ParquetRows, length: int):
        self.name, self.features, self.rows, self.length = rows.name, rows.features, list(rows), length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index % len(self.rows)]

    def place(self, index: int) -> str:
        return f"row {index}"


class _Stopwatch(TrainerCallback):
    def __init__(self, trainer: _Timed):
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in (_WARM_UP, state.max_steps):
            if args.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.trainer.seconds = now - self.trainer.seconds


def _measure_case(
    case: Case, folder: Path, device: torch.device, compiled: bool, steps: int, rounds: int
) -> dict[str, Any]:
    photographs = ParquetRows([write_rows(folder, _PHOTOGRAPHS, case.photographs, mask_every=100)])
    rows = _Endless(photographs, case.batch * (_WARM_UP + steps))
    processor = PMViTImageProcessor(
        size={"height": case.image_size, "width": case.image_size}, patch_size=case.patch_size
    )
    args = PMViTTrainingArguments(
        output_dir=str(folder / "run"),
        per_device_train_batch_size=case.batch,
        max_steps=_WARM_UP + steps,
        logging_steps=_WARM_UP + steps,
        dataloader_num_workers=max(0, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 0,
        dataloader_persistent_workers=device.type == "cuda",
        bf16=device.type == "cuda",
        torch_compile=compiled,
        use_cpu=device.type == "cpu",
        **{"save_strategy": "no", "eval_strategy": "no", "report_to": "none", "disable_tqdm": True, "overlays": 0},
    )

    def trainer(fixed: bool, model: torch.nn.Module) -> _Timed:
        transform = ExampleTransform(processor, augmentation=AugmentationSettings(rand_augment=9))
        dataset = ExampleDataset([(rows, transform)])
        mixing = MixingSettings(cutmix=1.0, mosaics=1.0)
        return _Timed(
            model=model, args=args, train_dataset=dataset, processing_class=processor, mixing=mixing, fixed=fixed
        )

    def seconds(fixed: bool, model: torch.nn.Module) -> tuple[float, _Timed]:
        timed = trainer(fixed, model)
        timed.train()
        timed._train_loader = None  # ends its processes
        gc.collect()
        return timed.seconds, timed

    torch.manual_seed(0)
    pm, plain = PMViTForImageClassification(PMViTConfig(**case.settings)), _PlainViT(ViTConfig(**case.settings))
    times = []
    for _ in range(rounds):
        (run, last), (random, _), (of_plain, _) = seconds(False, pm), seconds(True, pm), seconds(True, plain)
        times.append((run, random, of_plain))
    table = np.array(times)
    logged = [entry for entry in last.state.log_history if "data_wait_share" in entry]
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    run = summarize(table[:, [1, 0]])  # the inverse of the times: images per second
    return {
        "run": run,
        "plain": summarize(table[:, [1, 2]]),
        "images_per_second": case.batch * steps / float(np.median(table[:, 0])),
        "data_wait_share": logged[-1]["data_wait_share"],
        "peak": peak,
    }


class _PlainViT(ViTForImageClassification):
    """The ViT baseline; it takes a batch with masks and ignores them."""

    def __init__(self, config: ViTConfig):
        super().__init__(config)
        self.loss_type = "ForImageClassification"  # else derived from the name of the class

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        for name in ("mask_labels", "explain_labels"):
            kwargs.pop(name, None)
        found = super().forward(pixel_values, labels=labels, **kwargs)
        return PMViTImageClassifierOutput(
            loss=found.loss, logits=found.logits, classification_loss=found.loss, mask_loss=found.loss.detach() * 0
        )


def _flops(case: Case) -> int:
    """Of a forward pass of one image."""
    with torch.device("meta"):
        model = PMViTForImageClassification(PMViTConfig(**case.settings))
        image = torch.zeros(1, 3, case.image_size, case.image_size)
    return matrix_flops(lambda: model.vit(image))
