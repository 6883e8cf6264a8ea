"""Does a map tell which is which? Pairs of photographs of different classes, side by side: of the mass of a class's map
in either mask (or box), the share in its own, for PM-ViT and attention rollout.

    python scripts/judge_pairs.py runs/cub10 --data path/to/cub10 --split test --mask-column box --mask-encoding box
"""

import argparse
import sys

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.pairs import side_by_side
from modeling_pm_vit.data.sources import load_split
from modeling_pm_vit.evaluation.runner import judge_explainers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a PM-ViT")
    parser.add_argument("--data", required=True, help="folder or Hub id of a dataset with masks or boxes")
    parser.add_argument("--split", default="test", help="(default: %(default)s)")
    parser.add_argument("--mask-column", default="mask", help="(default: %(default)s)")
    parser.add_argument(
        "--mask-encoding", default="binary", choices=["binary", "class_id", "box"], help="(default: binary)"
    )
    parser.add_argument("--pairs", type=int, default=60, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pairs (default: %(default)s)")
    args = parser.parse_args()

    try:
        model = PMViTForImageClassification.from_pretrained(args.model)
        side = PMViTImageProcessor.from_pretrained(args.model).size.height
        processor = PMViTImageProcessor.from_pretrained(args.model, size={"height": side, "width": 2 * side})
        dataset = load_split(args.data, args.split)
        pairs = side_by_side(dataset, args.mask_encoding, args.mask_column, args.pairs, side, args.seed)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    figures = judge_explainers(model, processor, pairs, "class_id", batch_size=8)
    for name in ("pm-vit", "rollout"):
        share = figures[name]["own_object"]
        error = share.std(ddof=1) / len(share) ** 0.5
        print(f"{name:>8}: {share.mean():.3f} ± {error:.3f} of the mass on the own object ({len(share)} maps)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
