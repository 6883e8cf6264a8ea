"""Make masks of labelled photographs that have none, for the trainer to learn from.

    python scripts/pseudo_masks.py --data photos --model runs/vit-s14 --output runs/masked
    torchrun --nproc_per_node 2 scripts/pseudo_masks.py --data photos --model MODEL --output runs/masked --device cpu
    python scripts/train.py --data runs/masked --eval_data photos --model MODEL

OUTPUT gets parquet files of images, classes, masks and scores, which `scripts/train.py --data` takes. A mask is missing
where no object was seen or the score is below --min-score. The same command again goes on where it was interrupted.
Several processes share the images out.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

import torch

from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.evaluation.pseudo_mask_boxes import evaluate_masks
from modeling_pm_vit.pseudo_masks.features import FeatureKind
from modeling_pm_vit.pseudo_masks.run import METHODS, Request, make_pseudo_masks


def main() -> int:
    parser = _parser()
    args = vars(parser.parse_args())
    columns = Columns(args.pop("image_column"), args.pop("label_column"), None)
    box_column = args.pop("judge_boxes")
    try:
        request = Request(columns=columns, **args)
        made = make_pseudo_masks(request)
        figures = {}
        if made and box_column:
            source = open_rows(request.data, request.split, request.size, request.streaming, columns.label)
            figures = evaluate_masks(request.output, request.split, source, box_column)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))
    if made:
        counts, page = made
        print(
            f"{counts.images} images: {counts.masks} with a mask, {counts.no_object} in which no object was seen, "
            f"{counts.low_score} with a score below {args['min_score']:g}\n"
            f"to look at: {page.resolve()}\nto train on: --data {args['output']}"
        )
        for name, value in figures.items():
            print(f"{name:>20} {100 * value:.1f}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder, a dataset of the Hub, or 'synthetic'")
    parser.add_argument("--model", required=True, help="folder or Hub id of a model for the method")
    parser.add_argument("--output", type=Path, required=True, help="folder for the parquet files")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="tokencut",
        help="tokencut: normalised cut of a ViT's patch features (default); self: a PM-ViT's own maps of the images' "
        "classes; image-segmentation, mask-generation: a segmentation model of the Hub",
    )
    parser.add_argument("--split", default="train", help="(default: %(default)s)")
    parser.add_argument("--size", type=int, help="only the first so many images")
    parser.add_argument("--streaming", action="store_true", help="read parquet files where they are")
    parser.add_argument("--image-column", default="image", help="(default: %(default)s)")
    parser.add_argument("--label-column", default="label", help="(default: %(default)s)")
    parser.add_argument("--min-score", type=float, default=0.0, help="leave out masks below (default: %(default)s)")
    parser.add_argument("--rows-per-shard", type=int, default=500, help="of a parquet file (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="images at a time (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode images (default: %(default)s)")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(default: %(default)s)"
    )
    parser.add_argument("--judge-boxes", metavar="COLUMN", help="print how well the masks meet these true boxes")
    vit = parser.add_argument_group("tokencut and self")
    vit.add_argument("--image-size", type=int, help="side in pixels that the model sees (default: the model's)")
    cut = parser.add_argument_group("tokencut")
    cut.add_argument("--features", choices=get_args(FeatureKind), default="key", help="(default: %(default)s)")
    cut.add_argument("--layer", type=int, default=-1, help="whose features, from 0 or from the end (default: the last)")
    cut.add_argument("--tau", type=float, help="similarity that joins patches (default: each image's own, by Otsu)")
    cut.add_argument("--refine", action="store_true", help="fit masks to the edges of the photographs")
    own = parser.add_argument_group("self")
    own.add_argument("--threshold", type=float, default=0.5, help="probability of the mask (default: %(default)s)")
    hub = parser.add_argument_group("image-segmentation")
    hub.add_argument("--segment-labels", nargs="+", default=[], metavar="NAME", help="unite these (default: the class)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
