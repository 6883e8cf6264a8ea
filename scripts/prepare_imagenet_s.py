"""ImageNet-1k with the masks of ImageNet-S, from their official folders to parquet files that stream.

    python scripts/prepare_imagenet_s.py path/to/imagenet path/to/ImageNetS919 path/to/output

Goes on where it was interrupted. Every shard has its SHA-256 beside it; `--verify` checks them all. The output is as
large as the images: about 145 GB for training and 7 GB for validation. `--masked-only --splits train`, into another
folder, makes the second dataset of configs/imagenet1k_deit_s_pm.yaml, 1 GB.
"""

import argparse
import sys
from pathlib import Path

from modeling_pm_vit.data.imagenet_s_parquet import SPLITS, prepare, verify


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("imagenet", type=Path, help="folder with train/ and val/")
    parser.add_argument(
        "imagenet_s", type=Path, help="folder with train-semi-segmentation/ and validation-segmentation/"
    )
    parser.add_argument("output", type=Path, help="folder for the shards")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="(default: all)")
    parser.add_argument("--masked-only", action="store_true", help="leave out the images without a mask")
    parser.add_argument("--rows-per-shard", type=int, default=5000, help="(default: %(default)s)")
    parser.add_argument("--verify", action="store_true", help="check all shards against their checksums")
    args = parser.parse_args()

    try:
        shards = []
        for split in args.splits:
            shards += prepare(args.imagenet, args.imagenet_s, args.output, split, args.rows_per_shard, args.masked_only)
        broken = verify(shards) if args.verify else []
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for shard in broken:
        print(f"not what was written: {shard} (remove it and its .sha256, and start again)", file=sys.stderr)
    print(f"{len(shards)} shards in {args.output}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
