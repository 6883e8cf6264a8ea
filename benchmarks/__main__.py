"""What things cost, on this machine and against what they are compared with.

python -m benchmarks overhead --quick --json runs/benchmarks/overhead.json --plot runs/benchmarks/overhead.png
python -m benchmarks sweep --device cuda
python -m benchmarks check

Calls are timed in turn with what they are compared with, in an order that alternates, after a warm-up; a ratio is the
median over the rounds, its interval a 95 % bootstrap of them. On one thread (--threads 1) processor time is measured,
which others on the machine disturb less, else the wall clock.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from modeling_pm_vit.utils.files import write_json

from . import baselines, evaluation, memory, overhead, sweep, throughput, training
from .bounds import judge, passed
from .models import SIZES
from .plot import plot_ratios
from .tables import markdown, verdict_table

BENCHMARKS = {
    "overhead": (overhead.measure, "PM-ViT's forward pass with 5 classes explained against the plain classifier's"),
    "baselines": (baselines.measure, "whole explanations to full-size heat maps against every other explainer"),
    "sweep": (sweep.measure, "images a second over batch sizes, and the share of the device's matrix throughput"),
    "train": (training.measure, "a PM training step against a plain ViT step, and the loading of data"),
    "memory": (memory.measure, "the memory of a training loader over a long stream"),
    "evaluate": (evaluation.measure, "PM-ViT's map in plain forward passes, and protocols against quantus'"),
    "explain": (throughput.measure, "files to JSON, pages and parquet against the stock pipeline called file by file"),
}
ON_DEVICES = ("overhead", "baselines", "sweep")
CHECKED = {"overhead": {}, "baselines": {}, "train": {}, "explain": {"ways": ["bf16"]}}


def main() -> int:
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.benchmark == "check":
        return check(args)
    settings = {"device": args.device, "seconds": args.seconds} if args.benchmark in ON_DEVICES else {}
    if args.benchmark == "overhead":
        settings["budget"] = None if args.device.startswith("cuda") and args.budget is None else args.budget or 20
    if args.benchmark == "sweep":
        settings |= {"sizes": args.sizes, "batches": args.batches}
    if args.benchmark == "explain":
        settings = {"model": args.model, "images": args.images, "ways": args.ways}
    figures = run(args.benchmark, args.quick, settings)
    print(markdown(figures))
    if args.json:
        write_json(args.json, figures)
    if args.plot:
        plot_ratios(args.benchmark, figures, args.plot)
    return 0


def check(args: argparse.Namespace) -> int:
    """Hold ratios against the bounds."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in args.results]
    if not results:
        results = [run(name, True, settings) for name, settings in CHECKED.items()]
    verdicts = judge({figures["benchmark"]: figures for figures in results})
    print(verdict_table(verdicts))
    if args.json:
        write_json(args.json, results)
    return 0 if passed(verdicts) else 1


def run(benchmark: str, quick: bool, settings: dict) -> dict:
    measure, _ = BENCHMARKS[benchmark]
    return {"benchmark": benchmark, "quick": quick, **measure(quick, **settings)}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, (_, text) in BENCHMARKS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--quick", action="store_true", help="smaller, under a minute on 2 idle cores")
        command.add_argument("--plot", type=Path, help="picture of the ratios, as .png or .svg")
        if name in ON_DEVICES:
            default = "cuda" if torch.cuda.is_available() else "cpu"
            command.add_argument("--device", default=default, help="cpu or cuda (default here: %(default)s)")
            command.add_argument("--seconds", type=float, help="how long a pair is timed (default: some seconds)")
        if name == "overhead":
            text = "minutes after which no comparison begins (default: 20 on a CPU, none on CUDA)"
            command.add_argument("--budget", type=float, help=text)
        if name == "sweep":
            command.add_argument("--sizes", nargs="+", default=[], choices=SIZES, help="of the model (default: S B)")
            text = "ascending (default: 1 8 32, on CUDA to 512)"
            command.add_argument("--batches", nargs="+", default=[], type=int, metavar="IMAGES", help=text)
        if name == "explain":
            command.add_argument("--model", help="folder of a PM-ViT (default: random weights of ViT-S/16)")
            command.add_argument("--images", nargs="+", default=[], help="JPEG files, folders or patterns")
            command.add_argument("--ways", nargs="+", default=[], choices=throughput.WAYS, help="(default: all)")
    command = commands.add_parser("check", help="quick ratios against their bounds; exit code 1 if one is broken")
    command.add_argument("results", nargs="*", type=Path, help="JSON files of benchmarks, judged instead of measuring")
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, help="file for the figures; a measured pair is a named ratio")
        command.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
