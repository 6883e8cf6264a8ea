"""Compare variants of the mask loss: equal training budget, the same evaluation, several seeds.

    CONFIG=experiments/mask_loss/configs/cub10.yaml
    python -m experiments.mask_loss $CONFIG --model runs/vit-s14 --data path/to/cub10 --seeds 0 1 2
    python -m experiments.mask_loss $CONFIG --model runs/vit-s14 --data path/to/cub10 --variants none joint \\
        --explainers pm-vit grad-cam relevance --max_samples 48

All other options go to the training (`pm-vit train --help`). {seed} in them stands for the seed, so that each seed can
start from its own classifier: --model 'runs/vit-s14-{seed}', converted with --seed 0, 1, 2. A variant and seed that is
trained already is not trained again; other explainers and metrics add to its results. The output folder gets table.md
and the same values as a picture, chart.png. Several processes can run the same experiment, each with its own variants.
"""

import sys

from modeling_pm_vit.utils.errors import PMViTError

from .arguments import parse_arguments
from .chart import write_chart
from .results import read_runs
from .run import run_variant
from .table import write_table


def main(argv: list[str] | None = None) -> int:
    try:
        arguments, flags = parse_arguments(sys.argv[1:] if argv is None else argv, __doc__)
        output = arguments.output_dir
        for seed in arguments.seeds:
            for name in arguments.variants:
                result = run_variant(name, seed, flags, output, arguments.evaluation)
                for explainer, values in result.values.items():
                    shown = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
                    print(f"{name}, seed {seed}, {explainer}: {shown}", flush=True)
    except PMViTError as error:
        print(f"python -m experiments.mask_loss: {error}", file=sys.stderr)
        return 2
    runs = read_runs(output)
    table = write_table(runs, output / "table.md")
    write_chart(runs, output / "chart.png")
    print(f"{table}\nas a picture: {output / 'chart.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
