import pytest
import torch

from benchmarks import overhead
from benchmarks.bounds import BOUNDS
from benchmarks.models import SIZES, Size
from benchmarks.overhead import QUICK, Cell, grid, measure_cells
from benchmarks.peak_memory import peak_mib

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "Ti", Size(64, 1, 1, 0.001))


def test_each_comparison_has_its_time_and_its_memory():
    cells = [Cell("Ti", 10, 2), Cell("Ti", 10, 1, "bf16", explained=10)]
    found = measure_cells(cells, CPU, seconds=0, image_size=32)
    names = ["Ti/10/2/fp32/eager/top5", "Ti/10/1/bf16/eager/top10"]
    assert set(found["pairs"]) == {f"{name}{end}" for name in names for end in ("", "/memory")}
    for pair in found["pairs"].values():
        assert 0 < pair["low"] <= pair["ratio"] <= pair["high"]
    memory = found["pairs"][f"{names[0]}/memory"]
    assert memory["ratio"] == memory["ours_mib"] / memory["theirs_mib"]
    assert found["skipped"] == {}


def test_what_compiling_takes_is_stated(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **settings: model)
    cell = Cell("Ti", 10, 1, runtime="compiled")
    pairs = measure_cells([cell, Cell("Ti", 10, 1)], CPU, seconds=0, image_size=32)["pairs"]
    assert [name for name, pair in pairs.items() if "compile_seconds" in pair] == [cell.name]


@pytest.mark.slow
def test_onnx_graphs_are_compared():
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    cell = Cell("Ti", 10, 1, runtime="onnxruntime")
    found = measure_cells([cell, Cell("Ti", 10, 1, "bf16", "onnxruntime")], CPU, seconds=0, image_size=32)
    assert found["pairs"][cell.name]["ratio"] > 0
    assert found["pairs"][f"{cell.name}/memory"]["theirs_mib"] > 10
    assert "bf16" in found["skipped"]["Ti/10/1/bf16/onnxruntime/top5"]


def test_what_the_budget_does_not_hold_is_named(monkeypatch):
    # Of 10 classes counts three times as dear as of 1,000, so it comes last.
    monkeypatch.setattr(overhead, "_gmacs_per_second", lambda *_: 1.0)
    cells = [Cell("Ti", 10, 1), Cell("Ti", 1000, 1), Cell("L", 1000, 32)]
    found = measure_cells(cells, CPU, seconds=0, budget=5, image_size=32)
    assert list(found["pairs"])[::2] == ["Ti/1000/1/fp32/eager/top5", "Ti/10/1/fp32/eager/top5"]
    assert list(found["skipped"]) == ["L/1000/32/fp32/eager/top5"]
    assert "of the budget are left" in found["skipped"]["L/1000/32/fp32/eager/top5"]


def test_the_grid_is_whole_and_the_quick_part_lies_in_it():
    cells = grid()
    assert len(cells) == len({cell.name for cell in cells}) == 4 * 3 * 2 * 2 * 3 + 4
    assert set(QUICK) <= set(cells)


def test_memory_of_a_call_is_counted():
    def call():
        a = torch.ones(2**18)  # 1 MiB
        b = a + 1
        del a
        return b + 1

    assert peak_mib(call, CPU) == pytest.approx(2, abs=0.01)


def test_the_quick_part_measures_every_bound_of_a_cpu():
    from fnmatch import fnmatchcase

    names = [cell.name for cell in QUICK] + [f"{cell.name}/memory" for cell in QUICK]
    for bound in BOUNDS:
        if bound.benchmark == "overhead" and not bound.gpu:
            assert any(fnmatchcase(name, bound.pairs) for name in names)
