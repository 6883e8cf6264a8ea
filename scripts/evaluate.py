"""Judge a PM-ViT, or any ViT classifier, and explanations of it by the field's protocols: tables, curves, a page.

    python scripts/evaluate.py --model runs/demo                                  # on the built-in images
    python scripts/evaluate.py --model runs/cub10 --data photos --mask-column box --mask-encoding box
    python scripts/evaluate.py --model MODEL --layout imagenet-segmentation --data path/to/folder
    accelerate launch --num_processes 8 scripts/evaluate.py --model MODEL --data photos            # eight GPUs
    torchrun --nproc_per_node 2 scripts/evaluate.py --model MODEL --data photos --device cpu       # two CPU processes

Records of single images lie in OUTPUT/records. The same command again goes on where it was interrupted; with other
explainers or protocols it adds theirs to the report's. Several processes share the images out.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

import torch

from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.layouts import LAYOUTS
from modeling_pm_vit.data.masks import MaskEncoding
from modeling_pm_vit.evaluation.run import Request, evaluate
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.registry import METRICS


def main() -> int:
    parser = _parser()
    args = parser.parse_args()
    try:
        limits = dict(_limit(text) for text in args.limit)
        columns = Columns(args.image_column, args.label_column, _none(args.mask_column), _none(args.box_column))
        request = Request(
            model=args.model,
            output=args.output or Path("runs") / "evaluation" / Path(args.model).name,
            data=args.data,
            layout=args.layout,
            split=args.split,
            mask_encoding=args.mask_encoding,
            columns=columns,
            explainers=args.explainers,
            protocols=args.protocols,
            max_images=args.max_images,
            limits=limits,
            grids=args.grids,
            step_rows=args.step_rows,
            rise_masks=args.rise_masks,
            integration_steps=args.integration_steps,
            batch_size=args.batch_size,
            seed=args.seed,
            device=args.device,
            bf16=args.bf16,
            class_order=args.class_order,
            held_out_split=args.held_out_split,
            held_out_data=args.held_out_data,
        )
        results, folder = evaluate(request)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))
    if results:
        print((folder / "report.md").read_text(encoding="utf-8"))
        print(f"tables, figures and page: {(folder / 'index.html').resolve()}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or Hub id of a PM-ViT or ViTForImageClassification")
    parser.add_argument("--output", type=Path, help="folder (default: runs/evaluation/NAME of the model)")
    parser.add_argument("--data", default="synthetic", help="'synthetic' (default), a folder, or a dataset of the Hub")
    parser.add_argument("--layout", choices=LAYOUTS, help="--data is a folder in this dataset's official layout")
    parser.add_argument("--split", default="test", help="(default: %(default)s)")
    parser.add_argument("--held-out-split", help="choose the thresholds of localization on this split as well")
    parser.add_argument("--held-out-data", help="where that split is, with the same columns (default: --data)")
    parser.add_argument("--image-column", default="image", help="(default: %(default)s)")
    parser.add_argument("--label-column", default="label", help="(default: %(default)s)")
    parser.add_argument("--mask-column", default="mask", help="of masks or boxes; 'none' for none (default: mask)")
    parser.add_argument("--box-column", default="none", help="of boxes beside the masks (default: none)")
    encodings = get_args(MaskEncoding)
    parser.add_argument("--mask-encoding", choices=encodings, help="(default: binary; synthetic: class_id)")
    parser.add_argument("--class-order", type=Path, help="the dataset's class names in the model's order, one a line")
    parser.add_argument("--explainers", nargs="+", default=["all"], help=f"all, or of: {', '.join(EXPLAINERS)}")
    parser.add_argument("--protocols", nargs="+", default=["all"], help=f"all, or of: {', '.join(METRICS)}")
    parser.add_argument("--max-images", type=int, help="draw so many at random (default: all; synthetic: 1,000)")
    parser.add_argument(
        "--limit",
        nargs="+",
        default=[],
        metavar="PROTOCOL=N",
        help="fewer images for costly protocols, as insertion_deletion=50",
    )
    parser.add_argument("--grids", type=int, default=60, help="of the grid pointing games (default: %(default)s)")
    parser.add_argument(
        "--step-rows",
        type=int,
        default=1,
        help="insertion and deletion: pixels a step, in rows of the image; published: 1 (the default)",
    )
    parser.add_argument("--rise-masks", type=int, default=4000, help="(default: %(default)s)")
    parser.add_argument("--integration-steps", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="images at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images and grids (default: %(default)s)")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(default: %(default)s)"
    )
    parser.add_argument("--bf16", action="store_true", help="compute the model's matrix products in bfloat16")
    return parser


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"--limit takes PROTOCOL=N with N at least 1, got {text!r}.")
    return name, int(number)


def _none(name: str) -> str | None:
    return None if name == "none" else name


if __name__ == "__main__":
    sys.exit(main())
