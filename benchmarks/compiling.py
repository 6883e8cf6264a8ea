"""The time that `torch.compile` takes, apart from that of the calls."""

import time
from collections.abc import Callable

import torch


def compile_seconds(call: Callable[[], object], device: torch.device) -> float:
    """
    Seconds (wall clock, at least 0) of the first call beyond those of the third; the second may record CUDA graphs.
    Graphs that earlier processes compiled are not used, but kernels that they left on the disk are. The first call of a
    process loads the compiler too.
    """
    times = []
    with torch.compiler.config.patch(force_disable_caches=True):
        for _ in range(3):
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return max(0.0, times[0] - times[2])
