"""What things cost, on this machine and against what they are compared with.

python scripts/benchmark.py train --quick --json runs/benchmark.json
"""

import argparse
import json
import sys
from pathlib import Path

from modeling_pm_vit.benchmarks import evaluation, throughput, training

BENCHMARKS = {
    "train": (training.measure, "a PM training step against a plain ViT step, and the loading of data"),
    "evaluate": (evaluation.measure, "explainers against a plain forward pass, and protocols against quantus'"),
    "explain": (throughput.measure, "files to JSON, pages and parquet against the stock pipeline called file by file"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, (_, text) in BENCHMARKS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--quick", action="store_true", help="smaller, under a minute")
        command.add_argument("--json", type=Path, help="file for the figures")
        if name == "explain":
            command.add_argument("--model", help="folder of a PM-ViT (default: random weights of ViT-S/16)")
            command.add_argument("--images", nargs="+", default=[], help="JPEG files, folders or patterns")
            command.add_argument("--ways", nargs="+", default=[], choices=throughput.WAYS, help="(default: all)")
    args = parser.parse_args()

    measure, _ = BENCHMARKS[args.benchmark]
    settings = {name: getattr(args, name) for name in ("model", "images", "ways") if hasattr(args, name)}
    figures = measure(args.quick, **settings)
    for name, value in figures.items():
        print(f"{name:>26} {value:.4g}" if isinstance(value, float) else f"{name:>26} {value}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
