import pytest

from benchmarks.memory import stream_memory


@pytest.mark.slow
def test_the_memory_of_a_loader_with_a_worker_is_followed_over_all_rows():
    results = stream_memory(600, workers=1, batch_size=12)
    assert results["rows_streamed"] == 600
    assert results["mib_after_warm_up"] > 100  # two processes that hold torch
    assert results["ratio"] == pytest.approx(results["mib_at_the_end"] / results["mib_after_warm_up"])
    assert results["max_growth_mib"] >= results["mib_at_the_end"] - results["mib_after_warm_up"] > -50
    assert results["ratio"] < 1.2
