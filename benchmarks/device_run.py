"""All measurements of a GPU in one run of limited time: the most important first, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.utils.files import write_text

from .bounds import check_bounds
from .tables import markdown, verdict_table

_BATCHES = ("1", "8", "32", "128", "512")
_FEED = ("feed", "--rounds", "2", "--steps", "20")
_BUDGET = ("--budget", "1")  # minutes, of which compiling takes most
# Single images last: they are compiled apart, which takes as long as for all batches.
_SWEEP = ("sweep", "--batch_sizes", *_BATCHES[1:], "1", "--seconds", "0.5", *_BUDGET)


@dataclass(frozen=True)
class Part:
    """`command`: of `python -m benchmarks`; `seconds`: what it takes, roughly, on an H100 with 16 cores."""

    name: str
    command: tuple[str, ...]
    seconds: int


PARTS = (
    Part("feed-64", (*_FEED, "--cases", "Ti/8 at 64 px"), 70),
    Part("feed-224-small", (*_FEED, "--cases", "S/16 at 224 px"), 80),
    Part("overhead-eager", ("overhead", "--sizes", "S", "--batch_sizes", *_BATCHES, "--seconds", "1.5"), 60),
    Part(
        "overhead-graphs",
        ("overhead", "--sizes", "S", "--batch_sizes", "1", "8", "128", "--runtimes", "graphs", "--seconds", "1.5"),
        50,
    ),
    Part("files", ("files",), 40),
    Part("feed-224-base", (*_FEED, "--cases", "B/16 at 224 px"), 85),
    Part("sweep-small", (*_SWEEP, "--sizes", "S"), 80),
    Part("baselines", ("baselines", "--seconds", "0.25"), 70),
    # If there is time.
    Part("sweep-base", (*_SWEEP, "--sizes", "B"), 80),
    Part(
        "overhead-compiled",
        ("overhead", "--sizes", "S", "--batch_sizes", "1", "--runtimes", "compiled", "--seconds", "1.5"),
        50,
    ),
    Part("feed-64-compiled", ("feed", "--rounds", "1", "--steps", "20", "--compiled", "--cases", "Ti/8 at 64 px"), 110),
)
QUICK = (
    Part("feed", ("feed", "--quick"), 60),
    Part("overhead", ("overhead", "--quick", "--sizes", "Ti", "--batch_sizes", "1", "2", "--seconds", "0.1"), 30),
    Part("files", ("files", "--quick"), 30),
    Part("sweep", ("sweep", "--quick", "--sizes", "Ti", "--batch_sizes", "2", "1", "--seconds", "0.1", *_BUDGET), 120),
    Part("baselines", ("baselines", "--quick", "--seconds", "0.01"), 60),
)


def run_parts(
    parts: Sequence[Part], output: Path, minutes: float, settings: Sequence[str] = (), program: Sequence[str] = ()
) -> list[str]:
    """
    Writes `NAME.json` and `NAME.log` of each part, and `results.md` with all tables and the bounds of a GPU, anew after
    each part, so that nothing is lost if the time runs out.

    Args:
        output: folder.
        minutes: for everything. A part that would take longer than what is left does not begin, one that does is ended.
        settings: options for all parts.
        program: by default `python -m benchmarks`.

    Returns:
        What was left out or failed, in sentences.
    """
    output.mkdir(parents=True, exist_ok=True)
    end, missing, done = time.monotonic() + 60 * minutes, [], []
    for part in parts:
        left = end - time.monotonic()
        if left < part.seconds:
            missing.append(f"{part.name}: needs about {part.seconds} s, {max(left, 0):.0f} s were left")
        else:
            failure = _run(part, output, left, [*settings], program or [sys.executable, "-m", "benchmarks"])
            if failure:
                missing.append(f"{part.name}: {failure}, see {part.name}.log")
            else:
                done.append(part.name)
        _write_results(output, done, missing)
    return missing


def _run(part: Part, output: Path, seconds: float, settings: list[str], program: Sequence[str]) -> str:
    """Why a part failed; empty if it did not."""
    command = [*program, *part.command, *settings, "--json", str(output / f"{part.name}.json")]
    start = time.monotonic()
    with (output / f"{part.name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return "ended after the time that was left"
        finally:
            with suppress(ProcessLookupError):  # its loading processes too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(f"{part.name}: {time.monotonic() - start:.0f} s", flush=True)
    return "" if code == 0 else f"exit code {code}"


def _write_results(output: Path, done: Sequence[str], missing: Sequence[str]) -> None:
    measured = {name: json.loads((output / f"{name}.json").read_text(encoding="utf-8")) for name in done}
    parts = [f"## {name}\n\n{markdown(results)}" for name, results in measured.items()]
    verdicts = [v for results in measured.values() for v in check_bounds({results["benchmark"]: results})]
    met = [verdict for verdict in verdicts if verdict.status not in ("not measured", "impossible")]
    if met:
        parts.append(f"## Goals\n\n{verdict_table(met)}")
    parts.append("\n".join(f"- left out: {sentence}" for sentence in missing))
    write_text(output / "results.md", "\n\n".join(part for part in parts if part) + "\n")
