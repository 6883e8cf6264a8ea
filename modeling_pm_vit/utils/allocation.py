"""Memory of freed tensors, which the C library keeps for the next ones."""

import torch

_BLOCK = 31 * 2**20  # bytes: the largest block that counts has 32 MiB


def keep_freed_memory() -> None:
    """
    Let the C library of Linux keep up to 62 MiB of freed memory.

    It returns large blocks to the system when they are freed, and the activations of a model are large: each layer gets
    them anew, page by page, cleared. This took a tenth of the time of a ViT-S on a CPU
    (docs/experiments/throughput.md).
    What counts as large follows the largest block that was freed (`M_MMAP_THRESHOLD` in mallopt(3)), so one is freed
    here. Values that a user sets by `MALLOC_MMAP_THRESHOLD_` remain; other C libraries ignore it.
    """
    torch.empty(_BLOCK, dtype=torch.uint8)
