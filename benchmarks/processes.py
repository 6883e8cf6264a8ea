"""What two processes of one thread do in the time of one."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from modeling_pm_vit.utils.timing import reverse, summarize

# Multiplies matrices of a ViT-S, as many times as the argument says, on each request.
_PRODUCTS = """
import sys, torch
torch.set_num_threads(1)
tokens, weights = torch.randn(1576, 384), torch.randn(384, 1536)
for line in sys.stdin:
    for _ in range(int(sys.argv[1])):
        tokens @ weights
    print("done", flush=True)
"""
_COUNT = 120  # of these products, half a second of one core


class Worker:
    """
    A process that works on request.

    Args:
        program: Python code that prints a line `done` for every line that it reads.
        arguments: of the program.
    """

    def __init__(self, program: str, arguments: Sequence[object]):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, **pipes)

    def begin(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        if self.process.stdout.readline() != "done\n":
            raise RuntimeError("a worker process of the benchmark ended unexpectedly.")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def two_over_one(whole: Callable[[], Worker], halves: Sequence[Callable[[], Worker]], rounds: int) -> dict[str, dict]:
    """
    Args:
        whole, halves: start a process that does all of the work, and two that do half of it each.

    Returns:
        `parquet/2-processes`, how many times faster the two are; `machine/2-processes`, the same of processes that only
        multiply matrices, measured in turn with the others; and `parquet/2-processes/of-machine`, the first over the
        second.
    """
    products = [lambda count=count: Worker(_PRODUCTS, [count]) for count in (_COUNT, _COUNT // 2, _COUNT // 2)]
    workers = [start() for start in (whole, *halves, *products)]
    calls = [_together(*workers[:1]), _together(*workers[1:3]), _together(*workers[3:4]), _together(*workers[4:])]
    try:
        for call in calls:
            call()  # all have loaded what they need
        times = np.empty((rounds, 4))
        for number in range(rounds):
            for column in (0, 1, 2, 3) if number % 2 else (3, 2, 1, 0):
                times[number, column] = calls[column]()
    finally:
        for worker in workers:
            worker.close()
    ours, machine = summarize(times[:, [1, 0]]), summarize(times[:, [3, 2]])
    relative = np.stack((times[:, 0] / times[:, 1], times[:, 2] / times[:, 3]), 1)
    return {
        "parquet/2-processes": reverse(ours),
        "machine/2-processes": reverse(machine),
        "parquet/2-processes/of-machine": {k: v for k, v in summarize(relative).items() if "seconds" not in k},
    }


def _together(*workers: Worker) -> Callable[[], float]:
    """A call that lets the workers work at the same time, and returns its wall-clock seconds."""

    def call() -> float:
        start = time.perf_counter()
        for worker in workers:
            worker.begin()
        for worker in workers:
            worker.wait()
        return time.perf_counter() - start

    return call
