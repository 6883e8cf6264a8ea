"""Whether a run keeps its decoded images in memory, and how much that takes."""

import logging
import multiprocessing
import os
from contextlib import suppress
from pathlib import Path
from pickle import HIGHEST_PROTOCOL, dumps

import numpy as np
import psutil

from ..data.dataset import ExampleDataset
from ..data.decoding import BAD_ROW_ERRORS
from ..data.shared_cache import SharedCache
from .run_arguments import PMViTTrainingArguments

logger = logging.getLogger(__name__)
_SAMPLED = 24  # rows, for the estimate
_AUTO_SHARE, _LARGEST_SHARE = 0.25, 0.75  # of the free memory
_MARGIN = 1.2  # the sampled rows may be smaller than the others


def cache_rows(dataset: ExampleDataset, choice: str, args: PMViTTrainingArguments) -> list[str]:
    """
    Give a dataset a cache of its decoded rows, if it should have one.

    Args:
        choice: `"always"`, `"never"`, or `"auto"`: if the rows take less than a quarter of the free memory.

    Returns:
        What the user is told: a line, or none.
    """
    shares_memory = not args.dataloader_num_workers or multiprocessing.get_start_method() == "fork"
    if choice == "never" or (choice == "auto" and not shares_memory):
        return []
    needed = len(dataset) * _bytes_of_a_row(dataset)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    free = free_memory() / processes
    if not needed or (choice == "auto" and needed > _AUTO_SHARE * free):
        return []
    capacity = int(min(_MARGIN * needed, _LARGEST_SHARE * free))
    dataset.cache = SharedCache(len(dataset), capacity)
    kept = "" if capacity >= needed else f", of which {_size(capacity)} are kept"
    each = f" for each of {processes} processes" if processes > 1 else ""
    return [f"decoded images are kept in memory: about {_size(needed)}{kept}{each} (--cache_images)"]


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, round(count / 2**20)):d} MiB"


def _bytes_of_a_row(dataset: ExampleDataset) -> float:
    """The mean of a few rows; 0 if none can be read."""
    sizes = []
    for rows, transform in dataset.sources:
        # Rows that lie far apart would each cost a whole block.
        count = len(rows) if rows.blocks is None else min(len(rows), rows.blocks[0])
        for row in np.unique(np.linspace(0, count - 1, _SAMPLED).astype(int)) if count else ():
            try:
                sizes.append(len(dumps(transform.decode(rows[int(row)]), HIGHEST_PROTOCOL)))
            except BAD_ROW_ERRORS:
                continue  # the run itself says what is wrong with it
    return float(np.mean(sizes)) if sizes else 0.0


def free_memory() -> int:
    """Bytes that this process may still take, in a container as well."""
    free = [psutil.virtual_memory().available]
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        free.append(int(limit.read_text()) - int(used.read_text()))
    return max(0, min(free))
