"""`python -m benchmarks`: its check of result files, and its options."""

import json

import pytest

from benchmarks.__main__ import main, parse_arguments
from benchmarks.bounds import BOUNDS


@pytest.mark.parametrize(("worst", "code"), [(1.0, 0), (1.5, 1)])
def test_check_fails_where_a_bound_is_broken(tmp_path, capsys, worst, code):
    paths = []
    bounds = [bound for bound in BOUNDS if not bound.gpu]
    for benchmark in {bound.benchmark for bound in bounds}:
        pairs = {}
        for bound in bounds:
            if bound.benchmark == benchmark:
                pairs[bound.pairs.replace("*", "x")] = dict.fromkeys(("ratio", "low", "high"), bound.goal)
        if benchmark == "overhead":
            pairs["S/1000/1/fp32/eager/top5"] = dict.fromkeys(("ratio", "low", "high"), worst)
        paths.append(tmp_path / f"{benchmark}.json")
        name = "rivals" if benchmark == "baselines" else benchmark  # its old name is read as well
        paths[-1].write_text(json.dumps({"benchmark": name, "pairs": pairs}))
    assert main(["check", *map(str, paths)]) == code
    assert ("broken" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize(
    "command",
    [
        "overhead",
        "classifiers",
        "baselines",
        "sweep",
        "train",
        "feed",
        "memory",
        "evaluate",
        "explain",
        "browser",
        "check",
    ],
)
def test_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--json" in text and "--num_threads" in text
    assert command == "check" or ("--quick" in text and "--plot" in text)


def test_old_option_names_are_accepted():
    args = parse_arguments(["sweep", "--batches", "1", "8", "--threads", "1"])
    assert (args.batch_sizes, args.num_threads) == ([1, 8], 1)
    assert parse_arguments(["explain", "--ways", "bf16"]) == parse_arguments(["explain", "--backends", "bf16"])
