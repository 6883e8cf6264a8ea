"""The number of threads fits the cores that are free."""

import subprocess
import sys
import time

import pytest
import torch

from modeling_pm_vit.utils import threads
from modeling_pm_vit.utils.threads import busy_cores, choose_threads, set_threads, usable_cores


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many cores, of which some are busy."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def make(cores: float, busy: float = 0.0) -> None:
        torch.set_num_threads(8)  # what torch would take
        monkeypatch.setattr(threads, "usable_cores", lambda: cores)
        monkeypatch.setattr(threads, "busy_cores", lambda: busy)

    yield make
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cores", "busy", "processes", "workers", "expected"),
    [
        (2, 0.0, 1, 0, 2),
        (2, 0.1, 1, 0, 2),
        (2, 1.0, 1, 0, 1),
        (2, 2.0, 1, 0, 1),
        (2, 0.0, 1, 1, 1),  # the worker needs a core too
        (2, 0.0, 1, 4, 1),
        (16, 0.0, 1, 2, 8),  # never more than torch would take
        (8, 3.0, 1, 1, 4),
        (8, 3.0, 4, 0, 2),  # the other three processes of the launch are busy
        (8, 1.0, 2, 1, 3),
        (1.5, 0.0, 1, 0, 2),  # half of the time of a second core
        (64, 60.0, 1, 0, 4),
    ],
)
def test_threads_fit_the_free_cores(machine, monkeypatch, cores, busy, processes, workers, expected):
    machine(cores, busy)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    sentence = set_threads(None, workers)
    assert torch.get_num_threads() == expected
    assert sentence.startswith(f"{expected} computing thread")
    assert f"of {cores:g} cores are free" in sentence


def test_the_choice_of_the_user_counts(machine, monkeypatch):
    machine(2, 2.0)
    assert (set_threads(5), torch.get_num_threads()) == ("5 computing threads", 5)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert (set_threads(None), torch.get_num_threads()) == ("5 computing threads (OMP_NUM_THREADS)", 5)


@pytest.mark.parametrize(
    ("busy", "given", "said"), [(0.0, None, ""), (7.0, None, "1 computing thread ("), (7.0, 1, "")]
)
def test_a_command_says_if_it_takes_fewer_threads(machine, capsys, busy, given, said):
    machine(8, busy)
    choose_threads(given)
    error = capsys.readouterr().err
    assert error.startswith(said) and bool(error) == bool(said)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_the_quota_of_a_container_and_the_affinity_limit_the_cores(tmp_path, monkeypatch, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    assert usable_cores() == cores


def test_a_busy_core_is_seen():
    if not threads._idle_times():
        pytest.skip("only Linux counts the time of each core")
    core = min(threads.os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", spin])
    try:
        time.sleep(0.3)
        assert 0.7 <= busy_cores() <= len(threads.os.sched_getaffinity(0)) + 0.1
    finally:
        other.kill()
        other.wait()
