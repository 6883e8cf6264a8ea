"""Times two calls in alternating order, and computes their ratio."""

import time
from collections.abc import Callable

import numpy as np
import torch

CPU = torch.device("cpu")
_LEAST, _MOST = 5, 301  # rounds
_RESAMPLES = 2000


def compare(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    seconds: float = 5.0,
    device: torch.device = CPU,
    least: int = _LEAST,
    most: int = _MOST,
) -> dict[str, float]:
    """
    Call both once as warm-up (twice if they are short), then in alternating order for about `seconds`, at least `least`
    and at most `most` rounds.

    Returns:
        The result of [`summarize`].
    """
    for _ in range(2):
        spent = take_turns(ours, theirs, 1, device).sum()
        if spent > seconds / least:  # a second round is not needed
            break
    return summarize(take_turns(ours, theirs, int(np.clip(seconds / spent, least, most)), device))


def take_turns(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, device: torch.device = CPU
) -> np.ndarray:
    """Seconds `(rounds, 2)` of ours and theirs, called in alternating order."""
    clock = _clock(device)
    times = np.empty((rounds, 2))
    for number in range(rounds):
        for column, call in ((1, theirs), (0, ours)) if number % 2 else ((0, ours), (1, theirs)):
            _wait(device)
            start = clock()
            call()
            _wait(device)
            times[number, column] = clock() - start
    return times


def summarize(times: np.ndarray) -> dict[str, float]:
    """
    Args:
        times: seconds `(rounds, 2)` of ours and theirs.

    Returns:
        `ratio`, the median over the rounds of ours over theirs; `low` and `high`, the 95 % bootstrap interval of that
        median (resampled rounds); `rounds`; `ours_seconds` and `theirs_seconds`, the medians.
    """
    ratios = times[:, 0] / times[:, 1]
    drawn = np.random.default_rng(0).integers(len(ratios), size=(_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    ours, theirs = np.median(times, axis=0)
    return {
        **{"ratio": float(np.median(ratios)), "low": float(low), "high": float(high), "rounds": len(ratios)},
        **{"ours_seconds": float(ours), "theirs_seconds": float(theirs)},
    }


def reverse(pair: dict[str, float]) -> dict[str, float]:
    """The inverse ratio: theirs over ours, how many times faster ours is."""
    return pair | {"ratio": 1 / pair["ratio"], "low": 1 / pair["high"], "high": 1 / pair["low"]}


def exact(ratio: float, **more: float) -> dict[str, float]:
    """A pair with an exact ratio (counted, not timed), without an interval."""
    return {"ratio": ratio, "low": ratio, "high": ratio, "rounds": 1, **more}


def clock_name(device: torch.device = CPU) -> str:
    """Name of the clock: processor time on one CPU thread, which other processes disturb less, otherwise wall clock."""
    return "processor time" if _clock(device) is time.process_time else "wall clock"


def _clock(device: torch.device) -> Callable[[], float]:
    return time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
