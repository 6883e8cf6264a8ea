import pytest

from benchmarks import processes
from benchmarks.processes import Worker, two_over_one

# Works for so many hundredths of a second on each request.
SLEEPING = """
import sys, time
for line in sys.stdin:
    time.sleep(float(sys.argv[1]) / 100)
    print("done", flush=True)
"""


def test_two_processes_are_compared_with_one_and_with_what_the_machine_can_do(monkeypatch):
    monkeypatch.setattr(processes, "_PRODUCTS", SLEEPING)
    monkeypatch.setattr(processes, "_COUNT", 12)  # of one process; 6 of each of two
    found = two_over_one(lambda: Worker(SLEEPING, [12]), [lambda: Worker(SLEEPING, [9])] * 2, rounds=3)
    assert found["machine/2-processes"]["ratio"] == pytest.approx(2, rel=0.3)
    assert found["parquet/2-processes"]["ratio"] == pytest.approx(4 / 3, rel=0.3)
    assert found["parquet/2-processes/of-machine"]["ratio"] == pytest.approx(2 / 3, rel=0.3)


def test_a_process_that_ends_is_an_error():
    worker = Worker("", [])
    worker.process.wait()
    with pytest.raises((RuntimeError, BrokenPipeError)):
        worker.begin()
        worker.wait()
