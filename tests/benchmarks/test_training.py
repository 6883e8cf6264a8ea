from benchmarks.pairs import pairs_of
from benchmarks.training import compare_loading, compare_steps


def test_both_steps_are_timed_in_pairs():
    figures = compare_steps(layers=1, hidden=16, image_size=32, batch_size=4, pairs=8)
    assert figures["ratio"] > 0  # how much says nothing on a busy machine
    assert figures["ratio_error"] >= 0
    assert pairs_of(figures)["ratio"]["low"] <= figures["ratio"]
    assert figures["pm_step_seconds"] > 0 < figures["plain_step_seconds"]


def test_loading_costs_more_than_decoding():
    figures = compare_loading(side=32, count=8)
    assert 0 < figures["loader_images_per_second"] < figures["decode_images_per_second"]
