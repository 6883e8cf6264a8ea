import pytest

from benchmarks.bounds import BOUNDS, Bound, check_bounds, passed
from benchmarks.tables import verdict_table


def pair(ratio, low=None, high=None):
    return {"ratio": ratio, "low": ratio if low is None else low, "high": ratio if high is None else high}


@pytest.mark.parametrize(
    ("bound", "measured", "status"),
    [
        (Bound("a", "x", 1.02), pair(1.01), "met"),
        (Bound("a", "x", 1.02), pair(1.03, 1.00, 1.06), "missed"),  # may be noise
        (Bound("a", "x", 1.02), pair(1.05, 1.03, 1.06), "broken"),
        (Bound("a", "x", 1.02, guard=1.10), pair(1.05, 1.03, 1.06), "missed"),
        (Bound("a", "x", 1.02, guard=1.10), pair(1.15, 1.12, 1.2), "broken"),
        (Bound("a", "x", 3, at_least=True), pair(3.5, 2.9, 3.6), "met"),
        (Bound("a", "x", 3, at_least=True), pair(2.5, 2.4, 2.6), "broken"),
        (Bound("a", "x", 3, at_least=True), pair(2.9, 2.4, 3.1), "missed"),
        (Bound("a", "x", 3, at_least=True, guard=1.5), pair(2.5, 2.4, 2.6), "missed"),
        (Bound("a", "x", 3, at_least=True, guard=1.5), pair(1.2, 1.1, 1.4), "broken"),
    ],
)
def test_a_ratio_is_held_against_goal_and_guard(bound, measured, status):
    (verdict,) = check_bounds({"a": {"pairs": {"x": measured}}}, [bound])
    assert verdict.status == status
    assert passed([verdict]) == (status != "broken")


def test_a_bound_without_measurement_does_not_pass():
    (verdict,) = check_bounds({"a": {"pairs": {"y": pair(1.0)}}}, [Bound("a", "x*", 1.02)])
    assert verdict.status == "not measured"
    assert not passed([verdict])


def test_what_a_machine_cannot_run_is_said_and_passes():
    bound = Bound("a", "x/bf16/of-machine", 1, at_least=True)
    results = {"pairs": {"x/fp32": pair(1.0)}, "skipped": {"x/bf16": "this machine has no instructions for it"}}
    (verdict,) = check_bounds({"a": results}, [bound])
    assert verdict.status == "impossible"
    assert passed([verdict])
    assert "impossible: this machine has no instructions for it" in verdict_table([verdict])


def test_a_gpu_has_bounds_of_its_own():
    bounds = [Bound("a", "x", 1.02), Bound("a", "x", 1.1, gpu=True)]
    for device, goal in (("cpu", 1.02), ("NVIDIA H100", 1.1)):
        results = {"machine": {"device": device}, "pairs": {"x": pair(1.05)}}
        (verdict,) = check_bounds({"a": results}, bounds)
        assert verdict.bound.goal == goal


def test_a_pattern_holds_for_all_that_it_matches():
    results = {"pairs": {"S/top5": pair(1.0), "B/top5": pair(1.5), "B/top5/memory": pair(9.0)}}
    verdicts = check_bounds({"a": results}, [Bound("a", "*/top5", 1.02)])
    assert {verdict.pair: verdict.status for verdict in verdicts} == {"S/top5": "met", "B/top5": "broken"}
    assert not passed(verdicts)


def test_the_table_says_goal_guard_and_reason():
    bounds = [Bound("a", "x", 3, at_least=True, guard=1.5, reason="because"), Bound("a", "z", 1.02)]
    table = verdict_table(check_bounds({"a": {"pairs": {"x": pair(2.0, 1.9, 2.1)}}}, bounds))
    assert "| a         | x    | 2.000 | 1.900 … 2.100 | ≥ 3    | ≥ 1.5 | missed: because |" in table
    assert "not measured" in table


def test_no_guard_is_stricter_than_its_goal_and_each_says_why():
    for bound in BOUNDS:
        if bound.guard is not None:
            assert not bound.reached(bound.guard, bound.goal)
            assert bound.reason
