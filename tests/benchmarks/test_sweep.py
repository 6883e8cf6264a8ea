import time

import pytest
import torch

from benchmarks.models import SIZES, Size
from benchmarks.sweep import matmul_flops, sweep

CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_sweep_runs_on_a_cpu_as_on_a_gpu(monkeypatch):
    monkeypatch.setitem(SIZES, "S", Size(64, 1, 1, 0.001))
    torch._dynamo.utils.counters.clear()
    found = sweep(["S"], [2, 3, 5, 1], CPU, torch.bfloat16, throughput=1e9, seconds=0, image_size=32, backend="eager")
    names = {"S/1", "S/2", "S/3", "S/5"}
    assert set(found["pairs"]) == set(found["images_per_second"]) == set(found["matmul_share"]) == names
    speed = found["images_per_second"]["S/2"]
    assert speed == 2 / found["pairs"]["S/2"]["ours_seconds"]
    assert found["skipped"] == {}
    # Two models, each compiled for one image and for batches.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 4
    seconds = {name: pair["compile_seconds"] for name, pair in found["pairs"].items()}
    assert max(seconds["S/3"], seconds["S/5"]) < min(seconds["S/2"], seconds["S/1"])


def test_no_batch_size_begins_after_the_end(monkeypatch):
    monkeypatch.setitem(SIZES, "S", Size(64, 1, 1, 0.001))
    end = time.monotonic() - 1
    found = sweep(["S"], [1, 2], CPU, torch.float32, 1e9, seconds=0, image_size=32, backend="eager", end=end)
    assert found["pairs"] == {}
    assert found["skipped"] == {"S/1": "the budget was spent", "S/2": "the budget was spent"}


def test_matrix_throughput_is_positive():
    assert matmul_flops(64, CPU, torch.float32, repeats=2) > 1e6
