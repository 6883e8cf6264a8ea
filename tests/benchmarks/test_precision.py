import pytest

from benchmarks import precision
from benchmarks.precision import model_gain, product_gain, share_of
from modeling_pm_vit.evaluation.cost import vit_baseline


def test_the_gain_of_bfloat16_is_how_many_times_faster_it_is(monkeypatch, make_model):
    monkeypatch.setattr(precision, "_SECONDS", 0.01)
    for gain in (product_gain(hidden=16, tokens=5), model_gain(vit_baseline(make_model()), (32, 32))):
        assert gain["ratio"] == pytest.approx(gain["theirs_seconds"] / gain["ours_seconds"], rel=0.9)
        assert 0 < gain["low"] <= gain["ratio"] <= gain["high"]


def test_a_share_of_what_is_possible_has_the_uncertainty_of_both():
    pair = {"ratio": 1.8, "low": 1.7, "high": 1.9, "rounds": 5}
    limit = {"ratio": 2.0, "low": 1.9, "high": 2.1, "rounds": 9}
    assert share_of(pair, limit) == pytest.approx({"ratio": 0.9, "low": 1.7 / 2.1, "high": 1.9 / 1.9, "rounds": 5})
