"""Train a PM-ViT: from scratch or from a ViT checkpoint, on a dataset in which few images have masks.

    pm-vit train --mask_encoding class_id --output_dir runs/demo          # on the built-in images
    pm-vit train --data photos --model facebook/deit-small-patch16-224 --learning_rate 0.0003 --output_dir runs/photos
    pm-vit train run.yaml --num_train_epochs 5
    pm-vit train run.yaml --resume_from_checkpoint                        # after an interruption
    pm-vit train run.yaml --folds 5 --group_column patient                # cross-validation, patients kept together
    torchrun --nproc_per_node 2 -m modeling_pm_vit.cli train run.yaml
    accelerate launch --num_processes 8 -m modeling_pm_vit.cli train run.yaml

The first argument can be a YAML file with options, such as `num_train_epochs: 5`; options on the command line override
it.
"""

from collections.abc import Sequence
from pathlib import Path

from ..training.arguments import parse_arguments
from ..training.checkpoints import last_complete
from ..training.cross_validation import cross_validate
from ..training.run import train


def main(arguments: Sequence[str] | None = None) -> int:
    model, data, training = parse_arguments(arguments, command="pm-vit train", description=__doc__)
    try:
        if training.folds:
            cross_validate(model, data, training)
        else:
            train(model, data, training)
    except KeyboardInterrupt:
        hint = "Complete folds and checkpoints are kept: rerun the same command to continue."
        if not training.folds:
            hint = _how_to_continue(Path(str(training.output_dir)))
        raise KeyboardInterrupt(hint) from None
    return 0


def _how_to_continue(output_dir: Path) -> str:
    checkpoint = last_complete(output_dir)
    if checkpoint is None:
        return "There is no complete checkpoint yet."
    return f"The last complete checkpoint is {checkpoint}: rerun the same command with --resume_from_checkpoint."
