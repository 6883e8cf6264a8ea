"""Time and memory of PM-ViT against baselines, measured on this machine.

    python -m benchmarks overhead --quick --json runs/benchmarks/overhead.json --plot runs/benchmarks/overhead.png
    python -m benchmarks baselines --num_threads 1
    python -m benchmarks sweep --device cuda
    python -m benchmarks check

After a warm-up, calls are timed in alternating order with the call that they are compared with. A ratio is the median
over the rounds, its interval a 95 % bootstrap over them. On one thread (--num_threads 1) processor time is measured,
which other processes disturb less; otherwise the wall clock. Results are printed as Markdown tables.
`python -m benchmarks NAME --help` lists the options of a benchmark.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from modeling_pm_vit.utils.allocation import keep_freed_memory
from modeling_pm_vit.utils.files import write_json

from . import (
    baselines,
    browser,
    classifiers,
    evaluation,
    feed,
    files,
    memory,
    overhead,
    serving,
    sweep,
    throughput,
    training,
)
from .bounds import check_bounds, passed
from .device_run import PARTS, QUICK, run_parts
from .models import SIZES
from .plot import plot_ratios
from .tables import markdown, verdict_table

BENCHMARKS = {
    "overhead": (overhead.measure, "forward pass with 5 explained classes against the plain classifier"),
    "classifiers": (classifiers.measure, "a classifier that is called for all classes against a plain linear one"),
    "baselines": (baselines.measure, "whole explanations to full-size heat maps against every other explainer"),
    "sweep": (sweep.measure, "images per second over batch sizes, and share of the device's matrix throughput"),
    "train": (training.measure, "training step against that of a plain ViT, and data loading"),
    "feed": (feed.measure, "images per second of a training run against those from random tensors on the device"),
    "memory": (memory.measure, "memory of a training loader over a long stream"),
    "evaluate": (evaluation.measure, "PM-ViT's map in plain forward passes, and metrics against quantus"),
    "explain": (throughput.measure, "files to JSON, pages and parquet against the stock pipeline, file by file"),
    "files": (files.measure, "files to JSON against the model alone, on a CPU or a GPU"),
    "serve": (serving.measure, "the published server with 16 clients: latency, memory, and what is lost"),
    "browser": (browser.measure, "the precisions of an export in the runtime of the browser page, in Node.js"),
}
ON_DEVICES = ("overhead", "classifiers", "baselines", "sweep")
CHECKED: dict[str, dict[str, Any]] = {
    "overhead": {},
    "baselines": {},
    "train": {},
    "explain": {"backends": ["fp32", "bf16"]},
}
_OLD_NAMES = {"rivals": "baselines"}  # of benchmarks in JSON files


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    keep_freed_memory()  # as the commands do
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    if args.benchmark == "check":
        return check(args)
    if args.benchmark == "device":
        missing = run_parts(QUICK if args.quick else PARTS, args.output_dir, args.minutes, ["--device", args.device])
        print("\n".join([str(args.output_dir / "results.md"), *missing]))
        return 1 if missing else 0
    settings = {"device": args.device, "seconds": args.seconds} if args.benchmark in ON_DEVICES else {}
    if args.benchmark == "feed":
        names = ("device", "compiled", "cases", "rounds", "steps")
        settings = {name: getattr(args, name) for name in names}
    if args.benchmark == "files":
        settings = {"device": args.device, "compiled": args.compiled}
    if args.benchmark == "overhead":
        settings["cells"] = overhead.chosen_cells(args.sizes, args.batch_sizes, args.runtimes, args.device)
        settings["budget"] = None if args.device.startswith("cuda") and args.budget is None else args.budget or 20
    if args.benchmark == "sweep":
        settings |= {"sizes": args.sizes, "batch_sizes": args.batch_sizes, "budget": args.budget}
    if args.benchmark == "serve":
        settings = {"model": args.model, "requests": args.requests}
    if args.benchmark == "browser":
        settings = {"model": args.model}
    if args.benchmark == "explain":
        settings = {"model": args.model, "images": args.images, "backends": args.backends}
    results = run(args.benchmark, args.quick, settings)
    print(markdown(results))
    if args.json:
        write_json(args.json, results)
    if args.plot:
        plot_ratios(args.benchmark, results, args.plot)
    return 0


def check(args: argparse.Namespace) -> int:
    """Compare ratios with their bounds."""
    measured = [json.loads(path.read_text(encoding="utf-8")) for path in args.results]
    if not measured:
        measured = [run(name, True, settings) for name, settings in CHECKED.items()]
    by_name = {_OLD_NAMES.get(results["benchmark"], results["benchmark"]): results for results in measured}
    verdicts = check_bounds(by_name)
    print(verdict_table(verdicts))
    if args.json:
        write_json(args.json, measured)
    return 0 if passed(verdicts) else 1


def run(benchmark: str, quick: bool, settings: dict[str, Any]) -> dict[str, Any]:
    measure, _ = BENCHMARKS[benchmark]
    return {"benchmark": benchmark, "quick": quick, **measure(quick, **settings)}


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, (_, text) in BENCHMARKS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--quick", action="store_true", help="a smaller run, under a minute on 2 idle cores")
        command.add_argument("--plot", type=Path, metavar="FILE", help="picture of the ratios, .png or .svg")
        if name in (*ON_DEVICES, "feed", "files"):
            default = "cuda" if torch.cuda.is_available() else "cpu"
            command.add_argument("--device", default=default, help="cpu or cuda (default on this machine: %(default)s)")
        if name in ON_DEVICES:
            command.add_argument("--seconds", type=float, help="approximate time spent on each pair (default: a few)")
        if name in ("overhead", "sweep"):
            usual = "none" if name == "sweep" else "20 on a CPU, none on CUDA"
            text = f"minutes after which no further comparison begins (default: {usual})"
            command.add_argument("--budget", type=float, metavar="MINUTES", help=text)
        if name in ("feed", "files"):
            command.add_argument("--compiled", action="store_true", help="use torch.compile")
        if name == "feed":
            command.add_argument("--cases", nargs="+", default=[], choices=feed.CASES, help="(default: all)")
            command.add_argument("--rounds", type=int, default=3, metavar="N", help="(default: %(default)s)")
            command.add_argument("--steps", type=int, default=30, metavar="N", help="of a run (default: %(default)s)")
        if name == "overhead":
            text = "with --sizes and --batch_sizes: eager, compiled, or CUDA graphs of the eager model (default: eager)"
            command.add_argument("--runtimes", nargs="+", default=["eager"], choices=overhead.RUNTIMES, help=text)
        if name in ("overhead", "sweep"):
            text = "of the model (default: S B)" if name == "sweep" else "compare only these sizes, of 1,000 classes"
            command.add_argument("--sizes", nargs="+", default=[], choices=SIZES, help=text)
            text = "(default: 1 8 32, on CUDA up to 512)" if name == "sweep" else "(default: 1)"
            _add(command, "batch_sizes", "--batches", nargs="+", default=[], type=int, metavar="N", help=text)
        if name in ("serve", "browser"):
            command.add_argument("--model", help="folder of `pm-vit export` (default: random weights of ViT-S/16)")
        if name == "serve":
            command.add_argument("--requests", type=int, help="of all clients (default: 1000, with --quick 150)")
        if name == "explain":
            command.add_argument("--model", help="folder of a PM-ViT (default: random weights of ViT-S/16)")
            command.add_argument("--images", nargs="+", default=[], help="JPEG files, folders or patterns")
            choices = throughput.BACKENDS
            _add(command, "backends", "--ways", nargs="+", default=[], choices=choices, help="(default: all)")
    text = "all measurements of a GPU, in a limited time"
    command = commands.add_parser("device", help=text, description=text)
    command.add_argument("--quick", action="store_true", help="a rehearsal with small models")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    command.add_argument("--device", default=default, help="cpu or cuda (default on this machine: %(default)s)")
    command.add_argument(
        "--minutes", type=float, default=9.0, metavar="N", help="for everything (default: %(default)s)"
    )
    text = "folder for tables (results.md), values and logs (default: %(default)s)"
    command.add_argument("--output_dir", type=Path, default=Path("runs/benchmarks/device"), help=text)
    command = commands.add_parser(
        "check", help="quick ratios against their bounds; exit code 1 if a bound is broken or not measured"
    )
    text = "JSON files of benchmarks, which are checked instead of new measurements"
    command.add_argument("results", nargs="*", type=Path, help=text)
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, metavar="FILE", help="file for the results")
        _add(command, "num_threads", "--threads", type=int, metavar="N", help="CPU threads (default: torch's)")
    return parser.parse_args(argv)


def _add(command: argparse.ArgumentParser, name: str, old: str, **settings: Any) -> None:
    """An option that is also accepted with dashes and by its old name."""
    command.add_argument(f"--{name}", f"--{name.replace('_', '-')}", old, dest=name, **settings)


if __name__ == "__main__":
    sys.exit(main())
