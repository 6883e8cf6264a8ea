"""`python -m benchmarks`: what it says of figures that lie in files."""

import json
import runpy
import sys

import pytest

from benchmarks.bounds import BOUNDS


@pytest.fixture
def main(monkeypatch):
    module = runpy.run_module("benchmarks")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
        return module["main"]()

    return call


@pytest.mark.parametrize(("worst", "code"), [(1.0, 0), (1.5, 1)])
def test_check_fails_where_a_bound_is_broken(main, tmp_path, capsys, worst, code):
    paths = []
    for benchmark in {bound.benchmark for bound in BOUNDS}:
        pairs = {}
        for bound in BOUNDS:
            if bound.benchmark == benchmark:
                pairs[bound.pairs.replace("*", "x")] = dict.fromkeys(("ratio", "low", "high"), bound.goal)
        if benchmark == "overhead":
            pairs["S/1000/1/fp32/eager/top5"] = dict.fromkeys(("ratio", "low", "high"), worst)
        paths.append(tmp_path / f"{benchmark}.json")
        paths[-1].write_text(json.dumps({"benchmark": benchmark, "pairs": pairs}))
    assert main("check", *paths) == code
    assert ("broken" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize(
    "command", ["overhead", "baselines", "sweep", "train", "memory", "evaluate", "explain", "check"]
)
def test_help(main, capsys, command):
    with pytest.raises(SystemExit) as stop:
        main(command, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--json" in text and "--threads" in text
    assert command == "check" or ("--quick" in text and "--plot" in text)
