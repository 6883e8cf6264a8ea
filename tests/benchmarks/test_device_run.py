import json
import sys
import time

from benchmarks.device_run import PARTS, Part, run_parts

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


def test_the_whole_run_fits_into_ten_minutes():
    assert sum(part.seconds for part in PARTS) < 660
