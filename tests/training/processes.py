"""Two processes of one run, as `torchrun` would start them; but what they import is imported once for all."""

import multiprocessing
import os
import socket
from collections.abc import Callable

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["modeling_pm_vit.training.run", "torchmetrics"])


def in_two_processes(function: Callable, *args) -> list[int]:
    """Call a function of a module in two processes that find one another (gloo); their exit codes, -9 for kill -9."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [_context.Process(target=_call, args=(rank, port, function, args)) for rank in range(2)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
    finally:
        for process in processes:
            process.kill()
    return [process.exitcode for process in processes]


def _call(rank: int, port: int, function: Callable, args: tuple) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    multiprocessing.set_start_method("fork", force=True)  # of loading processes, as in a process that was not forked
    function(*args)
