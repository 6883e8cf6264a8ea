"""Processes of their own, as a shell or `torchrun` starts them; but what they import is imported once for all."""

import gc
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_PACKAGES = ("training.run", "evaluation.run", "inference", "pseudo_masks.run", "cli.main")
_context.set_forkserver_preload([*(f"modeling_pm_vit.{name}" for name in _PACKAGES), "torchmetrics"])


@dataclass
class Ended:
    """What the processes of a command left: their exit codes, and what they printed together."""

    codes: list[int]
    stdout: str
    stderr: str


def in_processes(count: int, function: Callable, *args) -> list[int]:
    """Call a function of a module in processes that find one another (gloo); their exit codes, -9 for kill -9."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [_context.Process(target=_call, args=(rank, count, port, function, args)) for rank in range(count)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
    finally:
        for process in processes:
            process.kill()
    return [process.exitcode for process in processes]


def run_command(words: Sequence[object], processes: int = 1, kill_at: tuple[str, int] | None = None) -> Ended:
    """
    `pm-vit WORDS`, in one process or in several that find one another.

    Args:
        kill_at: part of the name of a file, and a number: with kill -9, while the so manieth of these files is half
            on the disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        codes = in_processes(processes, _command, [str(word) for word in words], folder, kill_at)
        printed = [
            "".join(path.read_text() for path in sorted(Path(folder).glob(f"{name}-*"))) for name in ("out", "err")
        ]
    return Ended(codes, *printed)


def _call(rank: int, count: int, port: int, function: Callable, args: tuple) -> None:
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["OMP_NUM_THREADS"] = "1"
    os.fsync = lambda descriptor: None  # as in the process of the tests: see tests/conftest.py
    gc.freeze()
    multiprocessing.set_start_method("fork", force=True)  # of loading processes, as in a process that was not forked
    function(*args)


def _command(words: list[str], folder: str, kill_at: tuple[str, int] | None) -> None:
    from modeling_pm_vit.cli.main import main
    from modeling_pm_vit.utils import files

    os.environ["ACCELERATE_USE_CPU"] = "true"
    for descriptor, name in ((1, "out"), (2, "err")):
        printed = os.open(f"{folder}/{name}-{os.environ.get('RANK', 0)}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(printed, descriptor)
    if kill_at:
        left = [kill_at[1]]

        def flush(path: str | os.PathLike[str]) -> None:
            left[0] -= kill_at[0] in os.fspath(path)
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        files.flush_to_disk = flush
    sys.exit(main(words))
