import torch

from benchmarks.files import measure


def test_files_to_json_are_compared_with_the_model_alone(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **settings: model)
    results = measure(quick=True, compiled=True)
    (pair,) = results["pairs"].values()
    assert 0 < pair["low"] <= pair["ratio"] <= pair["high"] < 1.5
    (speed,) = results["images_per_second"].values()
    assert abs(speed - 16 / pair["ours_seconds"]) < 1e-6
    assert pair["compile_seconds"] >= 0
