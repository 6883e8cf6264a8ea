import time

import numpy as np
import pytest
import torch

from modeling_pm_vit.utils.timing import clock_name, compare, exact, reverse, summarize, take_turns


def test_calls_take_turns_in_an_order_that_alternates():
    calls = []
    times = take_turns(lambda: calls.append("ours"), lambda: calls.append("theirs"), 4)
    assert calls == ["ours", "theirs", "theirs", "ours"] * 2
    assert times.shape == (4, 2)


def test_the_ratio_is_the_median_of_the_rounds():
    times = np.array([[2.0, 1.0], [3.0, 1.0], [40.0, 10.0], [9.0, 1.0], [1.0, 1.0]])
    found = summarize(times)
    assert found["ratio"] == 3.0
    assert 1.0 <= found["low"] <= 3.0 <= found["high"] <= 9.0
    assert found["low"] < found["high"]
    assert (found["rounds"], found["ours_seconds"], found["theirs_seconds"]) == (5, 3.0, 1.0)


def test_rounds_that_agree_leave_no_spread():
    found = summarize(np.array([[3.0, 2.0]] * 7))
    assert found["low"] == found["ratio"] == found["high"] == 1.5


def test_the_other_way_round():
    pair = {"ratio": 0.5, "low": 0.25, "high": 0.8, "rounds": 5}
    assert reverse(pair) == {"ratio": 2.0, "low": 1.25, "high": 4.0, "rounds": 5}
    assert exact(1.5, ours_mib=3.0) == {"ratio": 1.5, "low": 1.5, "high": 1.5, "rounds": 1, "ours_mib": 3.0}


def test_long_calls_are_warmed_up_once_and_short_ones_twice():
    calls = []
    assert compare(lambda: calls.append(0), lambda: None, seconds=0, least=3)["rounds"] == 3
    assert len(calls) == 1 + 3
    calls.clear()
    assert compare(lambda: calls.append(0), lambda: None, seconds=60, least=3, most=20)["rounds"] == 20
    assert len(calls) == 2 + 20


@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_is_timed_by_what_it_computes(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        slept = take_turns(lambda: time.sleep(0.02), lambda: None, 1)[0, 0]
        assert clock_name() == ("processor time" if threads == 1 else "wall clock")
    finally:
        torch.set_num_threads(before)
    assert (slept < 0.01) == (threads == 1)
