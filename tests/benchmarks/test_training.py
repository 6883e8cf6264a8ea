from benchmarks.pairs import pairs_of
from benchmarks.training import compare_attention, compare_loading, compare_steps


def test_both_steps_are_timed_in_pairs():
    results = compare_steps(layers=1, hidden=16, image_size=32, batch_size=4, pairs=8)
    assert results["ratio"] > 0  # how much says nothing on a busy machine
    assert results["ratio_error"] >= 0
    assert pairs_of(results)["ratio"]["low"] <= results["ratio"]
    assert results["pm_step_seconds"] > 0 < results["plain_step_seconds"]


def test_both_attentions_are_timed():
    found = compare_attention(layers=1, hidden=16, image_size=32, batch_size=2, seconds=0.01)
    assert 0 < found["low"] <= found["ratio"] <= found["high"]


def test_loading_costs_more_than_decoding():
    results = compare_loading(side=32, count=8)
    assert 0 < results["loader_images_per_second"] < results["decode_images_per_second"]
