import pytest

from benchmarks.memory import stream_memory


def test_the_memory_of_a_loader_with_a_worker_is_followed_over_all_rows():
    figures = stream_memory(600, workers=1, batch_size=12)
    assert figures["rows_streamed"] == 600
    assert figures["mib_after_warm_up"] > 100  # two processes that hold torch
    assert figures["ratio"] == pytest.approx(figures["mib_at_the_end"] / figures["mib_after_warm_up"])
    assert figures["max_growth_mib"] >= figures["mib_at_the_end"] - figures["mib_after_warm_up"] > -50
    assert figures["ratio"] < 1.2
