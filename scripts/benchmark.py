"""What things cost, on this machine and against what they are compared with.

python scripts/benchmark.py train --quick --json runs/benchmark.json
"""

import argparse
import json
import sys
from pathlib import Path

from modeling_pm_vit.benchmarks import evaluation, memory, training

BENCHMARKS = {
    "train": (training.measure, "a PM training step against a plain ViT step, and the loading of data"),
    "memory": (memory.measure, "the memory of a training loader over a long stream"),
    "evaluate": (evaluation.measure, "explainers against a plain forward pass, and protocols against quantus'"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, (_, text) in BENCHMARKS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--quick", action="store_true", help="smaller, under a minute")
        command.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()

    measure, _ = BENCHMARKS[args.benchmark]
    figures = measure(args.quick)
    for name, value in figures.items():
        print(f"{name:>26} {value:.4g}" if isinstance(value, float) else f"{name:>26} {value}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
