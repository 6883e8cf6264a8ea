from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
import torch

from benchmarks import baselines
from benchmarks.baselines import full_size, measure_explainers
from benchmarks.bounds import BOUNDS
from benchmarks.models import Size
from modeling_pm_vit.explainers import explainers

METHODS = explainers(rise_masks=6, integration_steps=6)


@pytest.mark.slow
def test_every_explainer_is_measured(make_model):
    for package in ("timm", "captum", "pytorch_grad_cam"):
        pytest.importorskip(package)
    images = torch.rand(2, 3, 32, 32)
    found = measure_explainers(METHODS, make_model(patch_size=8), images, seconds=0)
    pairs = found["pairs"]
    assert {f"fp32/{name}/top1" for name in METHODS if name != "pm-vit"} <= set(pairs)
    assert {"fp32/plain", "fp32/timm", "fp32/pixel-gradient", "fp32/legrad/top5"} <= set(pairs)
    for pair in pairs.values():
        assert 0 < pair["low"] <= pair["ratio"] <= pair["high"]
    assert found["peak_mib"]["fp32/grad-cam/top1"] > found["peak_mib"]["fp32/pm-vit/top1"]
    assert found["images_per_second"]["fp32/rise/top1"] == 1 / pairs["fp32/rise/top1"]["theirs_seconds"]
    passes = found["matrix_passes"]
    assert 1 < passes["fp32/pm-vit/top1"] < 1.1 < passes["fp32/legrad/top1"] < passes["fp32/relevance/top1"]
    assert passes["fp32/random/top1"] == 0
    assert "fp32/rise/top1" not in passes
    for bound in BOUNDS:
        if bound.benchmark == "baselines" and not bound.gpu:
            assert any(fnmatchcase(name, bound.pairs) for name in pairs), bound


@pytest.mark.parametrize(("quick", "expected"), [(True, {"fp32": 9}), (False, {"fp32": len(METHODS), "bf16": 7})])
def test_which_methods_run_in_which_precision(monkeypatch, quick, expected):
    for name in ("Ti", "S"):
        monkeypatch.setitem(baselines.SIZES, name, Size(64, 1, 1, 0.001))
    counts = {}

    def count(methods, model, images, seconds, device, prefix):
        assert model.dtype == images.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[prefix]
        counts[prefix] = len(methods)
        return {"pairs": {prefix: {}}}

    monkeypatch.setattr(baselines, "measure_explainers", count)
    results = baselines.measure(quick)
    assert counts == expected
    assert set(results["pairs"]) == set(expected)


@pytest.mark.parametrize("top", [1, 3])
def test_both_ways_give_the_same_maps_at_full_size(make_model, top):
    images = torch.rand(2, 3, 32, 32)
    model, ours = make_model(), METHODS["pm-vit"]
    maps = full_size(ours, model, images, top)()
    each = full_size(replace(ours, name="as a baseline"), model, images, top)()
    assert maps.shape == each.shape == (2, top, 32, 32)
    assert np.abs(maps - each).max() < 1e-5
