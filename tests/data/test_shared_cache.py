import multiprocessing
import pickle

import numpy as np
import pytest

from modeling_pm_vit.data.shared_cache import SharedCache


def test_values_come_back_equal_and_as_copies():
    cache = SharedCache(3, 10_000)
    value = {"image": np.arange(12, dtype=np.uint8).reshape(3, 4), "label": 7}
    assert cache.get(1) is None
    cache.put(1, value)
    found = cache.get(1)
    assert found["label"] == 7
    np.testing.assert_array_equal(found["image"], value["image"])
    found["image"][:] = 0  # a copy: augmentation may write to it
    assert cache.get(1)["image"].sum() == value["image"].sum()
    assert cache.get(0) is None
    assert cache.get(2) is None


def test_a_value_that_does_not_fit_is_not_kept_and_smaller_ones_still_are():
    cache = SharedCache(10, 500)
    cache.put(0, b"a" * 300)
    cache.put(1, b"b" * 300)
    cache.put(2, b"c" * 100)
    assert [cache.get(i) for i in range(3)] == [b"a" * 300, None, b"c" * 100]
    assert cache.used <= 500


def fill(cache, numbers):
    for number in numbers:
        cache.put(number, np.full(1000, number, np.uint8))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes cannot be forked here")
def test_processes_that_write_at_once_share_their_values():
    context = multiprocessing.get_context("fork")
    cache = SharedCache(200, 10**6)
    processes = [context.Process(target=fill, args=(cache, range(first, 200, 2))) for first in (0, 0, 1, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert all((cache.get(number) == number).all() for number in range(200))
    size = len(pickle.dumps(np.zeros(1000, np.uint8), protocol=pickle.HIGHEST_PROTOCOL))
    assert abs(cache.used - 200 * size) < 200 * 8  # each once


def test_a_spawned_process_keeps_nothing():
    cache = SharedCache(2, 1000)
    cache.put(0, "kept")
    other = pickle.loads(pickle.dumps(cache))
    other.put(0, "x")
    assert other.get(0) is None
    assert cache.get(0) == "kept"
