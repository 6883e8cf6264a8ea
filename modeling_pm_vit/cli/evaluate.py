"""Evaluate a PM-ViT, or a stock ViT classifier, and explanations of it: tables, curves and a page.

    pm-vit evaluate --model runs/demo                                            # on the built-in images
    pm-vit evaluate --model runs/cub10 --data photos --mask_column box --mask_encoding box
    pm-vit evaluate --model MODEL --layout imagenet-segmentation --data path/to/folder
    accelerate launch --num_processes 8 -m modeling_pm_vit.cli evaluate --model MODEL --data photos     # eight GPUs

The records of single images are kept in OUTPUT_DIR/records. The same command continues where it was interrupted; with
other explainers or metrics it adds theirs to the report. Several processes share the images.
"""

from collections.abc import Sequence

from ..evaluation.arguments import EvaluationArguments
from ..evaluation.run import evaluate
from ..utils.arguments import ArgumentParser
from ..utils.threads import choose_threads


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(
        EvaluationArguments,
        command="pm-vit evaluate",
        description=__doc__,
        refused={"--bf16": "--precision bf16"},
    )
    given: EvaluationArguments = parser.parse(arguments)
    choose_threads(given.num_threads)
    results, folder = evaluate(given)
    if results:
        print((folder / "report.md").read_text(encoding="utf-8"))
        print(f"tables, values and page: {(folder / 'index.html').resolve()}")
    return 0
