import pytest

from benchmarks.feed import measure
from benchmarks.tables import markdown


@pytest.mark.slow
def test_a_run_is_compared_with_random_tensors_and_with_a_plain_vit():
    results = measure(quick=True)
    assert results["pairs"].keys() == {"tiny", "tiny/plain"}
    assert results["images_per_second"]["tiny"] > 0
    assert 0 <= results["data_wait_share"]["tiny"] <= 1
    assert results["model_flops_share"]["tiny"] > 0
    assert "| tiny/plain |" in markdown(results | {"benchmark": "feed", "quick": True})
