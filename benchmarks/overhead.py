"""Overhead of the explanation: PM-ViT against `ViTForImageClassification` of the same weights."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from modeling_pm_vit.evaluation.cost import vit_baseline
from modeling_pm_vit.utils.timing import compare, exact

from .compiling import compile_seconds
from .machine import describe
from .models import SIZES, random_pm_vit
from .peak_memory import peak_mib, session_peak_mib

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_PREPARING = {"eager": 2.0, "onnxruntime": 30.0, "compiled": 60.0}  # seconds on a CPU, of both models
RUNTIMES = (*_PREPARING, "graphs")


@dataclass(frozen=True)
class Cell:
    """One comparison. `explained`: number of explained classes, the most probable ones."""

    size: str
    classes: int
    batch: int
    dtype: str = "fp32"
    runtime: str = "eager"
    explained: int = 5

    @property
    def name(self) -> str:
        return f"{self.size}/{self.classes}/{self.batch}/{self.dtype}/{self.runtime}/top{self.explained}"

    @property
    def gmacs(self) -> float:
        return SIZES[self.size].gmacs * self.batch


def grid() -> list[Cell]:
    """Every comparison."""
    cells = [
        Cell(size, classes, batch, dtype, runtime)
        for runtime in _PREPARING
        for dtype in _DTYPES
        for size in SIZES
        for classes in (10, 1000, 21841)
        for batch in (1, 32)
    ]
    return cells + [Cell("B", 1000, batch, dtype, "eager", 1000) for batch in (1, 32) for dtype in _DTYPES]


QUICK = [
    Cell("Ti", 1000, 1),
    Cell("Ti", 21841, 1),
    Cell("S", 1000, 1),
    Cell("S", 1000, 1, "bf16"),
    Cell("B", 1000, 1, explained=1000),
    Cell("Ti", 1000, 1, runtime="onnxruntime"),
]


def chosen_cells(sizes: Sequence[str], batch_sizes: Sequence[int], runtimes: Sequence[str], device: str) -> list[Cell]:
    """Comparisons of 1,000 classes, in bf16 on CUDA and in fp32 on a CPU; none without sizes."""
    batches, dtype = batch_sizes or [1], "bf16" if device.startswith("cuda") else "fp32"
    return [Cell(size, 1000, n, dtype, runtime) for runtime in runtimes for size in sizes for n in batches]


def measure(
    quick: bool = False,
    device: str = "cpu",
    budget: float | None = 20,
    seconds: float | None = None,
    cells: Sequence[Cell] = (),
) -> dict:
    """
    Args:
        cells: by default the [`grid`], with `quick` a few.
        seconds: approximate time spent on each pair, by default 6, with `quick` 2; at least five rounds.
        budget: minutes after which no further comparison begins. Cheap comparisons run first, and those of 1,000
            classes before the others. `None`: no limit.

    Returns:
        `machine`; `pairs`: for each comparison `size/classes/batch/dtype/runtime/topK` the ratio of the times, and with
        `/memory` appended the ratio of the peak memory; those of compiled models have the [`compile_seconds`] of
        PM-ViT; `skipped`: for each other comparison the reason.
    """
    device = torch.device(device)
    cells = cells or (QUICK if quick else grid())
    return {"machine": describe(device), **measure_cells(cells, device, seconds or (2.0 if quick else 6.0), budget)}


def measure_cells(
    cells: Sequence[Cell], device: torch.device, seconds: float, budget: float | None = None, image_size: int = 224
) -> dict:
    """[`measure`] of chosen comparisons. `seconds`: approximate time spent on each."""
    pairs, skipped, start = {}, {}, time.monotonic()
    model = random_pm_vit(SIZES["Ti"], 1000, image_size)
    if budget is not None:
        rate = _gmacs_per_second(model, image_size)
        cells = sorted(cells, key=lambda cell: _cost(cell, rate, seconds) * (1 if cell.classes == 1000 else 3))
    for cell in tqdm(cells, desc="overhead", unit="comparison"):
        reason = _unavailable(cell, device)
        if reason is None and budget is not None:
            left = budget * 60 - (time.monotonic() - start)
            cost = _cost(cell, rate, seconds)
            reason = f"needs about {cost:.0f} s, {max(left, 0):.0f} s of the budget are left" if cost > left else None
        if reason is not None:
            skipped[cell.name] = reason
            continue
        try:
            pairs |= _measure_cell(cell, device, seconds, image_size)
        except torch.OutOfMemoryError:
            skipped[cell.name] = "out of memory"
    return {"pairs": pairs, "skipped": skipped}


def _unavailable(cell: Cell, device: torch.device) -> str | None:
    if cell.runtime == "graphs" and device.type != "cuda":
        return "CUDA graphs need a GPU"
    if cell.runtime != "onnxruntime":
        return None
    if cell.dtype == "bf16":
        return "onnxruntime has no bf16 matrix products on CPUs"
    if device.type != "cpu":
        return "ONNX graphs are measured on CPUs only"
    return None


def _gmacs_per_second(model: nn.Module, image_size: int) -> float:
    images = torch.zeros(1, 3, image_size, image_size)
    with torch.inference_mode():
        model(images)
        start = time.perf_counter()
        model(images)
    return SIZES["Ti"].gmacs / (time.perf_counter() - start)


def _cost(cell: Cell, rate: float, seconds: float) -> float:
    """Estimated seconds of a comparison: preparation, warm-up, at least five rounds of both, memory."""
    forward = cell.gmacs / rate
    return _PREPARING.get(cell.runtime, 10.0) + max(seconds, 10 * forward) + 6 * forward


def _measure_cell(cell: Cell, device: torch.device, seconds: float, image_size: int) -> dict[str, dict]:
    model = random_pm_vit(SIZES[cell.size], cell.classes, image_size).to(device, _DTYPES[cell.dtype])
    images = torch.randn(cell.batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))
    images = images.to(device, _DTYPES[cell.dtype])
    with _calls(cell, model, images) as (ours, theirs, memory):
        compiled = cell.runtime in ("compiled", "graphs")
        more = {"compile_seconds": compile_seconds(ours, device)} if compiled else {}
        times = compare(ours, theirs, seconds, device) | more
        ours_mib, theirs_mib = memory()
        return {
            cell.name: times,
            f"{cell.name}/memory": exact(ours_mib / theirs_mib, ours_mib=ours_mib, theirs_mib=theirs_mib),
        }


@contextmanager
def _calls(cell: Cell, model: nn.Module, images: torch.Tensor) -> Iterator[tuple[Callable, Callable, Callable]]:
    """The two calls, and a third that measures the memory of both."""
    plain = vit_baseline(model)
    if cell.runtime == "onnxruntime":
        with tempfile.TemporaryDirectory() as folder:
            graphs = [Path(folder) / name for name in ("ours.onnx", "theirs.onnx")]
            ours = _session(_Graph(model, {"explain_labels": cell.explained}), images, graphs[0])
            theirs = _session(_Graph(plain, {}), images, graphs[1])
            threads = torch.get_num_threads()
            yield ours, theirs, lambda: [session_peak_mib(g, tuple(images.shape), threads) for g in graphs]
        return
    run, run_plain = model, plain
    if cell.runtime == "compiled":
        torch._dynamo.reset()
        mode = "reduce-overhead" if images.is_cuda else None  # as `pm-vit explain --compile`
        run, run_plain = (torch.compile(one, fullgraph=True, mode=mode) for one in (model, plain))
    if cell.runtime == "graphs":
        torch._dynamo.reset()
        run, run_plain = (torch.compile(one, fullgraph=True, backend="cudagraphs") for one in (model, plain))
    with torch.inference_mode():
        calls = [lambda: run(images, explain_labels=cell.explained), lambda: run_plain(images)]
        yield calls[0], calls[1], lambda: [peak_mib(call, images.device) for call in calls]


class _Graph(nn.Module):
    """The exported module, with tensors only as outputs."""

    def __init__(self, model: nn.Module, settings: dict):
        super().__init__()
        self.model, self.settings = model, settings

    def forward(self, pixel_values: torch.Tensor):
        outputs = self.model(pixel_values, **self.settings)
        return (outputs.logits, outputs.mask_logits) if self.settings else outputs.logits


def _session(graph: nn.Module, images: torch.Tensor, path: Path) -> Callable[[], list[np.ndarray]]:
    import onnxruntime

    program = torch.onnx.export(graph.eval(), (images,), dynamo=True, verbose=False, input_names=["pixel_values"])
    program.save(path, external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {"pixel_values": images.numpy()}
    return lambda: session.run(None, inputs)
