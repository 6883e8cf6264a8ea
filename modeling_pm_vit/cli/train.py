"""Train a PM-ViT: from scratch or from a ViT checkpoint, on a dataset in which few images have masks.

    pm-vit train configs/demo.yaml
    pm-vit train configs/cub10.yaml --model runs/vit-s14 --data path/to/cub10 --num_train_epochs 5
    torchrun --nproc_per_node 2 -m modeling_pm_vit.cli train configs/demo.yaml
    accelerate launch --config_file configs/accelerate/node.yaml -m modeling_pm_vit.cli train configs/demo.yaml
    pm-vit train configs/demo.yaml --resume_from_checkpoint          # after an interruption

The first argument can be a YAML file of settings; options override it.
"""

from collections.abc import Sequence

from ..training.arguments import parse_arguments
from ..training.run import train


def main(arguments: Sequence[str] | None = None) -> int:
    train(*parse_arguments(arguments, command="pm-vit train", description=__doc__))
    return 0
