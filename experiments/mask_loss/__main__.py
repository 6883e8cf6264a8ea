"""Compare forms of the mask loss: every arm trained with the same budget and judged alike, over several seeds.

    CONFIG=experiments/mask_loss/configs/cub10.yaml
    python -m experiments.mask_loss $CONFIG --model runs/vit-s14 --data path/to/cub10 --seeds 0 1 2
    python -m experiments.mask_loss $CONFIG --model runs/vit-s14 --data path/to/cub10 --arms none joint \\
        --explainers pm-vit grad-cam relevance --max-images 48

All flags but those below go to the training (see scripts/train.py --help); {seed} in them stands for the seed, so that
each can start from a classifier of its own (--model runs/vit-s14-{seed}, converted with --seed 0, 1, 2). Arms and seeds
that are trained already are not trained again; other explainers and protocols add to what is known of them. All figures
are in table.md and, as a picture, in chart.png of the output folder. Several processes may work on one study, each on
arms of its own.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from modeling_pm_vit.data.masks import MaskEncoding
from modeling_pm_vit.evaluation.evaluator import PROTOCOLS
from modeling_pm_vit.explainers import EXPLAINERS

from .chart import write_chart
from .evaluating import Judging
from .run import run_arm
from .table import read_runs, write_table
from .variants import ARMS


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=f"(default: all) of: {', '.join(ARMS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="(default: 0 1 2)")
    default = Judging()
    names = ", ".join(EXPLAINERS)
    parser.add_argument(
        "--explainers", nargs="+", default=list(default.explainers), help=f"(default: pm-vit) of: {names}"
    )
    names = ", ".join(PROTOCOLS)
    text = f"(default: {' '.join(default.protocols)}) of: {names}"
    parser.add_argument("--protocols", nargs="+", default=list(default.protocols), help=text)
    parser.add_argument(
        "--grids", type=int, default=default.grids, help="of a grid pointing game (default: %(default)s)"
    )
    parser.add_argument("--max-images", type=int, help="judge so many, drawn at random (default: all)")
    parser.add_argument("--judged-mask-column", help="of the images judged; 'none' for none (default: as trained)")
    encodings = get_args(MaskEncoding)
    parser.add_argument("--judged-mask-encoding", choices=encodings, help="(default: the training's)")
    parser.add_argument("--held-out-split", help="choose the thresholds of localization on this split as well")
    parser.add_argument("--output", type=Path, help="folder (default: runs/study/NAME of the config)")
    args, flags = parser.parse_known_args()
    if not flags or not flags[0].endswith((".yaml", ".yml")):
        parser.error("the first argument must be the config of a training run, a YAML file.")
    output = args.output or Path("runs/study") / Path(flags[0]).stem
    judging = Judging(
        args.explainers,
        args.protocols,
        args.grids,
        args.max_images,
        args.judged_mask_column,
        args.judged_mask_encoding,
        args.held_out_split,
    )
    try:
        for seed in args.seeds:
            for name in args.arms:
                for explainer, figures in run_arm(name, seed, flags, output, judging).figures.items():
                    shown = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
                    print(f"{name}, seed {seed}, {explainer}: {shown}", flush=True)
        runs = read_runs(output)
        table = write_table(runs, output / "table.md")
        write_chart(runs, output / "chart.png")
    except (OSError, ValueError) as error:
        print(f"mask_loss: {error}", file=sys.stderr)
        return 2
    print(f"{table}\nas a picture: {output / 'chart.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
