"""Peak memory of a call."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def peak_mib(call: Callable[[], object], device: torch.device) -> float:
    """
    Peak MiB that a call allocates beyond what was held before (the weights), as counted by torch. Memory of numpy and
    other libraries is not included. On CUDA: the count of the allocator, rounded up to its blocks.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
    changes = [event["args"] for event in events if event.get("name") == "[memory]"]
    held = [change["Total Allocated"] for change in changes if change["Device Type"] == 0]
    before = held[0] - changes[0]["Bytes"] if held else 0
    return (max(held, default=0) - before) / 2**20


os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences a log line for every start and stop of the profiler

_RUN = """
import resource, sys
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
images = numpy.zeros([int(n) for n in sys.argv[3:]], numpy.float32)
for _ in range(2):
    session.run(None, {"pixel_values": images})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


def session_peak_mib(graph: Path, shape: tuple[int, ...], threads: int) -> float:
    """Peak MiB of a process that loads an ONNX graph and runs it (Linux), weights and libraries included."""
    command = [sys.executable, "-c", _RUN, str(graph), str(threads), *map(str, shape)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
