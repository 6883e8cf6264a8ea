"""Memory of a training loader on a long stream, which must not grow with the stream."""

import tempfile
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from modeling_pm_vit.configuration_pm_vit import PMViTConfig
from modeling_pm_vit.explanation_pm_vit import IGNORE
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.training.build_data import build_train_set, open_train_sources
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.training.run_arguments import PMViTTrainingArguments
from modeling_pm_vit.training.trainer import PMViTTrainer

from .rows import write_rows

_SHARDS = 8
_SAMPLES = 50


def measure(quick: bool = False) -> dict[str, float | int]:
    """[`stream_memory`] of 100,000 rows, with `quick` of 10,000."""
    return stream_memory(10_000 if quick else 100_000)


def stream_memory(rows: int, workers: int = 2, batch_size: int = 50) -> dict[str, float | int]:
    """
    One epoch of the training loader on a stream of images of 32 pixels, one in a hundred with a mask, shuffled and
    augmented, with RandAugment and mosaics. The resident memory of the process and its workers is sampled fifty times;
    the first fifth, in which their buffers fill, is the warm-up.

    Returns:
        `ratio`: memory at the end over memory after the warm-up; `mib_at_the_end` and `mib_after_warm_up`;
        `max_growth_mib`: largest growth after the warm-up; `slope_mib`: growth over 10,000 rows, fitted to the samples
        after the warm-up; `rows_streamed`; `workers`.
    """
    with tempfile.TemporaryDirectory() as folder:
        for shard in tqdm(range(_SHARDS), desc="shards", unit="shard"):
            count = len(range(shard, rows, _SHARDS))
            write_rows(Path(folder), count, (32, 32), f"train-{shard}", mask_every=100, seed=shard)
        loader = _loader(folder, workers, batch_size)
        samples, seen = [], 0
        for batch in tqdm(loader, desc="batches"):
            seen += int((batch["labels"] != IGNORE).sum())  # mosaics have no label
            if seen >= rows * (len(samples) + 1) / _SAMPLES:
                samples.append((seen, _resident()))
    kept = np.array(samples)[_SAMPLES // 5 - 1 :]
    first, last = kept[0, 1], kept[-1, 1]
    return {
        "ratio": float(last / first),
        "mib_after_warm_up": float(first),
        "mib_at_the_end": float(last),
        "max_growth_mib": float(kept[:, 1].max() - first),
        "slope_mib": float(1e4 * np.polyfit(*kept.T, 1)[0]),
        "rows_streamed": seen,
        "workers": workers,
    }


def _loader(folder: str, workers: int, batch_size: int):
    """The loader of `pm-vit train` on this folder."""
    data_args = DataArguments(data=folder, streaming=True, rand_augment=9, mosaics=1.0)
    processor = PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8)
    dataset = build_train_set(open_train_sources(data_args), processor, data_args, seed=0)
    config = PMViTConfig(image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=1)
    args = PMViTTrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch_size,
        dataloader_num_workers=workers,
        eval_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    trainer = PMViTTrainer(model=PMViTForImageClassification(config), args=args, train_dataset=dataset)
    return trainer.get_train_dataloader()


def _resident() -> float:
    """Resident MiB of this process and its children."""
    process = psutil.Process()
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20
