"""Write ImageNet-1k with the masks of ImageNet-S, from their official folders, to parquet files that can be streamed.

    pm-vit prepare-imagenet-s path/to/imagenet path/to/ImageNetS919 --output_dir path/to/output

The same command continues where it was interrupted. Every shard has its SHA-256 beside it; --verify checks them all.
The output is as large as the images: about 145 GB for training and 7 GB for validation. With --masked_only --splits
train, in another folder, it is the second dataset of the ImageNet training (--mask_data), 1 GB.
"""

import sys
from collections.abc import Sequence

from ..data.arguments import ImageNetSArguments
from ..data.imagenet_s_parquet import prepare, verify
from ..utils.arguments import ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(ImageNetSArguments, command="pm-vit prepare-imagenet-s", description=__doc__)
    given: ImageNetSArguments = parser.parse(arguments)
    shards = []
    for split in given.splits:
        shards += prepare(
            given.imagenet, given.imagenet_s, given.output_dir, split, given.rows_per_shard, given.masked_only
        )
    broken = verify(shards) if given.verify else []
    for shard in broken:
        print(f"broken: {shard} (remove it and its .sha256, and run the command again)", file=sys.stderr)
    print(f"{len(shards)} shards in {given.output_dir}")
    return 1 if broken else 0
