import pytest
import torch

from benchmarks.models import SIZES, Size
from benchmarks.sweep import matmul_flops, sweep

CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_sweep_runs_on_a_cpu_as_on_a_gpu(monkeypatch):
    monkeypatch.setitem(SIZES, "S", Size(64, 1, 1, 0.001))
    found = sweep(["S"], [1, 2], CPU, torch.bfloat16, throughput=1e9, seconds=0, image_size=32, backend="eager")
    assert set(found["pairs"]) == set(found["images_per_second"]) == set(found["matmul_share"]) == {"S/1", "S/2"}
    speed = found["images_per_second"]["S/2"]
    assert speed == 2 / found["pairs"]["S/2"]["ours_seconds"]
    assert found["skipped"] == {}


def test_matrix_throughput_is_positive():
    assert matmul_flops(64, CPU, torch.float32, repeats=2) > 1e6
