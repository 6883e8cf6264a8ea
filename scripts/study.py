"""Compare forms of the mask loss: every arm trained with the same budget and judged alike, over several seeds.

    python scripts/study.py configs/study/cub10.yaml --model runs/vit-s14 --data path/to/cub10 --seeds 0 1 2

All flags but those below go to the training (see scripts/train.py --help). Arms and seeds that are done already are not
run again; several processes may work on one study, each on arms of its own.
"""

import argparse
import sys
from pathlib import Path

from modeling_pm_vit.study.arms import ARMS
from modeling_pm_vit.study.run import run_arm
from modeling_pm_vit.study.table import write_tables


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=f"(default: all) of: {', '.join(ARMS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--grids", type=int, default=20, help="of the grid pointing game (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="folder (default: runs/study/NAME of the config)")
    args, flags = parser.parse_known_args()
    if not flags or not flags[0].endswith((".yaml", ".yml")):
        parser.error("the first argument must be the config of a training run, as configs/study/cub10.yaml.")
    output = args.output or Path("runs/study") / Path(flags[0]).stem
    try:
        for seed in args.seeds:
            for name in args.arms:
                figures = run_arm(name, seed, flags, output, args.grids)
                shown = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
                print(f"{name}, seed {seed}: {shown}", flush=True)
        table = write_tables(output)
    except (OSError, ValueError) as error:
        print(f"study.py: {error}", file=sys.stderr)
        return 2
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
