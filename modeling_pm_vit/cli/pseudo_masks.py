"""Make masks of labelled photographs that have none, to train on.

    pm-vit pseudo-masks --data photos --model runs/vit-s14 --output_dir runs/masked
    torchrun --nproc_per_node 2 -m modeling_pm_vit.cli pseudo-masks --data photos --model MODEL --output_dir runs/masked
    pm-vit train --data runs/masked --eval_data photos --model MODEL

OUTPUT_DIR gets parquet files of images, classes, masks and scores. A row has no mask if the method found no object or
if the score is below --min_score. The same command continues where it was interrupted. Several processes share the
images.
"""

from collections.abc import Sequence

from ..data.sources import open_rows
from ..pseudo_masks.arguments import PseudoMaskArguments
from ..pseudo_masks.run import make_pseudo_masks
from ..utils.arguments import ArgumentParser
from ..utils.extras import require
from ..utils.tables import markdown_table
from ..utils.threads import choose_threads


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(PseudoMaskArguments, command="pm-vit pseudo-masks", description=__doc__)
    given: PseudoMaskArguments = parser.parse(arguments)
    if given.box_column:
        require("comparing masks with true boxes (--box_column)", "eval", "cv2")
    choose_threads(given.num_threads)
    made = make_pseudo_masks(given)
    if made is None:  # not the first process
        return 0
    counts, page = made
    print(
        f"{counts.images} images: {counts.masks} with a mask, {counts.no_object} in which no object was found, "
        f"{counts.low_score} with a score below {given.min_score:g}\n"
        + (f"{', '.join(given.empty_classes)}: empty masks\n" if given.empty_classes else "")
        + f"examples: {page.resolve()}\nto train on: --data {given.output_dir}"
    )
    if given.box_column:
        from ..evaluation.pseudo_mask_boxes import evaluate_masks

        source = open_rows(given.data, given.split, given.generated, given.streaming, label_column=None)
        values = evaluate_masks(given.output_dir, given.split, source, given.box_column)
        print(markdown_table([("metric", "value"), *((name, f"{100 * x:.1f} %") for name, x in values.items())]))
    return 0
