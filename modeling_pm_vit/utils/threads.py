"""How many threads compute: as many as there are cores that this process may use and that are free.

One thread more than there are free cores makes small models several times slower, as the threads wait for one another.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .allocation import keep_freed_memory
from .arguments import option

_SAMPLE = 0.2  # seconds; the kernel counts in hundredths
_CGROUP = Path("/sys/fs/cgroup")


def threads_option(group: str | None = None, old_names: Sequence[str] = ()) -> Any:
    """The field `num_threads: int | None` of a command that runs a model. The command calls [`set_threads`]."""
    return option(
        None,
        at_least=1,
        help="Threads that compute. Default: OMP_NUM_THREADS, or one per free core.",
        group=group,
        old_names=old_names,
    )


def set_threads(given: int | None, workers: int = 0) -> str:
    """
    Set the number of threads with which this process computes, and let it keep the memory of freed tensors.

    Args:
        given: by the user; by default it is chosen.
        workers: processes that this process starts, each of which needs a core.

    Returns:
        How many, and why, as a sentence for the user.
    """
    keep_freed_memory()
    own, processes = torch.get_num_threads(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if given is not None:
        torch.set_num_threads(given)
        return _threads(given)
    if "OMP_NUM_THREADS" in os.environ:
        return f"{_threads(own)} (OMP_NUM_THREADS)"
    cores = usable_cores()
    # The other processes of this launch are busy too, but they count below.
    busy = max(0.0, busy_cores() - (processes - 1))
    free = max(0.0, cores - busy)
    threads = max(1, min(own, int(free / processes - workers + 0.5)))
    torch.set_num_threads(threads)
    counted = [f"{free:.1f} of {cores:g} cores are free"]
    counted += [f"{processes} processes"] * (processes > 1) + [f"{workers} data workers"] * bool(workers)
    return f"{_threads(threads)} ({', '.join(counted)}; --num_threads sets another number)"


def choose_threads(given: int | None) -> None:
    """[`set_threads`], for commands that say only if they use fewer threads than usual."""
    usual = torch.get_num_threads()
    sentence = set_threads(given)
    if given is None and torch.get_num_threads() < usual:
        print(sentence, file=sys.stderr)


def usable_cores() -> float:
    """The cores on which this process may run: its affinity, and the quota of its container."""
    cores: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _read("cpu.max").split() or [_read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us")]  # cgroups 2, 1
    if all(number.isdecimal() for number in limit):  # "max" and -1: none
        cores = min(cores, int(limit[0]) / int(limit[1]))
    return max(1.0, cores)


def busy_cores() -> float:
    """How many of the cores of this process others use; measured for a moment, in which this process sleeps."""
    before = _idle_times()
    if not before:  # not Linux
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    start = time.monotonic()
    time.sleep(_SAMPLE)
    elapsed = time.monotonic() - start
    after = _idle_times()
    return sum(max(0.0, 1 - (after[core] - idle) / elapsed) for core, idle in before.items() if core in after)


def _idle_times() -> dict[int, float]:
    """Of the cores of this process: seconds that each was idle since the machine was started."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        cores, ticks = os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError):
        return {}
    rows = [line.split() for line in lines if line.startswith("cpu") and line[3].isdecimal()]
    idle = {int(row[0][3:]): (int(row[4]) + int(row[5])) / ticks for row in rows}  # idle, and waiting for a disk
    return {core: seconds for core, seconds in idle.items() if core in cores}


def _read(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""


def _threads(number: int) -> str:
    return f"{number} computing thread{'s' * (number > 1)}"
