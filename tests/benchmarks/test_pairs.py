import pytest

from benchmarks.pairs import pairs_of


def test_single_ratios_are_pairs_too():
    found = pairs_of(
        {
            "ratio": 2.0,
            "ratio_low": 1.0,
            "ratio_high": 2.5,
            "ratio_b": 2.0,
            "ratio_b_low": 1.5,
            "ratio_b_high": 3.0,
            "n": 4,
        }
    )
    assert found == {
        "ratio": {"ratio": 2.0, "low": 1.0, "high": 2.5},
        "ratio_b": {"ratio": 2.0, "low": 1.5, "high": 3.0},
    }
    error = pairs_of({"ratio": 1.0, "ratio_error": 0.5})["ratio"]
    assert (error["low"], error["high"]) == pytest.approx((0.02, 1.98))
