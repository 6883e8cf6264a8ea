"""Train a PM-ViT: from scratch or from a ViT checkpoint, on a dataset in which few images have masks.

    python scripts/train.py configs/demo.yaml
    python scripts/train.py configs/cub10.yaml --model runs/vit-s14 --data path/to/cub10 --num_train_epochs 5
    torchrun --nproc_per_node 2 scripts/train.py configs/demo.yaml
    accelerate launch --config_file configs/accelerate/node.yaml scripts/train.py configs/demo.yaml
    python scripts/train.py configs/demo.yaml --resume_from_checkpoint          after an interruption

The first argument may be a YAML file of settings; flags win over it. `--help` lists every setting, those of
`transformers.TrainingArguments` included.
"""

import sys

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train


def main() -> int:
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(__doc__)
    try:
        train(*parse_arguments(sys.argv[1:]))
    except (OSError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
