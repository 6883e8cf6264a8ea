"""Several commands at a time, until they are done or the time is over."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Command = list[str]
_GRACE = 20.0  # seconds between the request to stop and the end by force


def run_side_by_side(
    jobs: Sequence[tuple[str, Sequence[Command], Path]],
    at_once: int,
    seconds: float | None = None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """
    Args:
        jobs: of each its name, its commands, one after the other, and the file that gets their output.
        at_once: number of jobs that run at a time.
        seconds: after which running commands are stopped; they resume when they are called again.

    Returns:
        The names of the jobs that were not completed: stopped, not begun, or failed, whose last lines are said.
    """
    start, waiting, running, unfinished = time.monotonic(), list(jobs), {}, []
    try:
        while waiting or running:
            over = seconds is not None and time.monotonic() - start > seconds
            if over:
                break
            while waiting and len(running) < at_once:
                name, commands, log = waiting.pop(0)
                running[name] = [_start(commands[0], log), list(commands[1:]), log]
            time.sleep(0.2)
            for name, (process, rest, log) in list(running.items()):
                if process.poll() is None:
                    continue
                if process.returncode:
                    say(f"{name}: exit status {process.returncode}; the end of {log}:\n{_tail(log)}")
                    unfinished.append(name)
                    del running[name]
                elif rest:
                    running[name] = [_start(rest[0], log), rest[1:], log]
                else:
                    say(f"{name}: done after {time.monotonic() - start:.0f} s")
                    del running[name]
    finally:
        for process, _, _ in running.values():
            process.terminate()
        for process, _, _ in running.values():
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
    return [*unfinished, *running, *(name for name, _, _ in waiting)]


def _start(command: Command, log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def _tail(log: Path, lines: int = 8) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
