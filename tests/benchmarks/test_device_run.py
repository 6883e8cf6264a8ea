import json
import sys
import time

import pytest

from benchmarks.__main__ import parse_arguments
from benchmarks.device_run import PARTS, QUICK, Part, run_parts

# Sleeps for so many seconds, or ends with an error; writes the results of a GPU.
PROGRAM = """
import json, sys, time
time.sleep(float(sys.argv[1]))
if sys.argv[1] == "0.01":
    sys.exit(3)
pair = {"ratio": 0.97, "low": 0.96, "high": 0.98, "rounds": 2}
results = {"benchmark": "feed", "machine": {"device": "H100"}, "pairs": {"Ti at 64 px": pair}}
open(sys.argv[-1], "w").write(json.dumps(results))
"""


def test_parts_are_measured_while_there_is_time_and_the_rest_is_said(tmp_path):
    parts = [
        Part("good", ("0",), 1),
        Part("wrong", ("0.01",), 1),
        Part("long", ("1",), 9999),
        Part("longer than said", ("60",), 1),
        Part("late", ("0",), 15),
    ]
    start = time.monotonic()
    missing = run_parts(parts, tmp_path / "out", 0.1, ["--option"], [sys.executable, "-c", PROGRAM])
    assert time.monotonic() - start < 30
    assert [sentence.split(":")[0] for sentence in missing] == ["wrong", "long", "longer than said", "late"]
    assert "exit code 3" in missing[0]
    assert json.loads((tmp_path / "out" / "good.json").read_text())["benchmark"] == "feed"
    text = (tmp_path / "out" / "results.md").read_text()
    assert "| Ti at 64 px |" in text and "met" in text
    assert all(f"left out: {sentence}" in text for sentence in missing)


def test_what_has_a_goal_or_a_table_fits_into_nine_minutes():
    names = [part.name for part in PARTS]
    planned = PARTS[: names.index("baselines") + 1]
    assert sum(part.seconds for part in planned) <= 540
    assert {part.command[0] for part in planned} == {part.command[0] for part in (*PARTS, *QUICK)}


@pytest.mark.parametrize("part", [*PARTS, *QUICK], ids=lambda part: part.name)
def test_the_commands_of_the_parts_are_accepted(part):
    assert parse_arguments([*part.command, "--device", "cpu", "--json", "x.json"]).benchmark == part.command[0]
