"""Paste objects with known masks on photographs: scenes of several classes, to train and to judge maps on.

    python scripts/compose_scenes.py --objects path/to/eth80 --backgrounds path/to/photographs --count 480 \\
        --output runs/scenes

Writes OUTPUT/SPLIT.parquet with the columns image, label (of the large object) and mask (class index + 1, 0 elsewhere),
which training and judging read with --mask_encoding class_id.
"""

import argparse
from pathlib import Path

from modeling_pm_vit.data.scenes import scenes
from modeling_pm_vit.data.sources import load_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", required=True, help="dataset of photographs of one object each, with its mask")
    parser.add_argument("--backgrounds", required=True, help="dataset of photographs to paste them on")
    parser.add_argument("--split", default="train", help="of both (default: %(default)s)")
    parser.add_argument("--count", type=int, default=500, help="of scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="side in pixels (default: %(default)s)")
    parser.add_argument("--most-objects", type=int, default=3, help="in a scene, from 2 (default: %(default)s)")
    parser.add_argument("--mask-column", default="mask", help="of the objects (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder")
    args = parser.parse_args()
    try:
        objects = load_split(args.objects, args.split)
        backgrounds = load_split(args.backgrounds, args.split, label_column=None)
        composed = scenes(objects, backgrounds, args.count, args.size, args.most_objects, args.seed, args.mask_column)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    args.output.mkdir(parents=True, exist_ok=True)
    composed.to_parquet(args.output / f"{args.split}.parquet")
    print(f"{len(composed)} scenes: {(args.output / f'{args.split}.parquet').resolve()}")


if __name__ == "__main__":
    main()
