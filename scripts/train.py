"""Train a PM-ViT: from scratch or from a ViT checkpoint, on a dataset in which few images have masks.

    python scripts/train.py configs/demo.yaml
    python scripts/train.py configs/cub10.yaml --model runs/vit-s14 --data path/to/cub10 --num_train_epochs 5
    accelerate launch scripts/train.py configs/demo.yaml

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
        metrics = train(*parse_arguments(sys.argv[1:]))
    except (OSError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    for name in ("accuracy", "patch_iou", "energy_inside"):
        if f"eval_{name}" in metrics:
            print(f"{name:>14} {metrics[f'eval_{name}']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
