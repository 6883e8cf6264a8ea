"""Publish a trained folder on the Hub of Hugging Face: model card, checks, one commit, verification, tag.

    pm-vit publish runs/birds user/pm-vit-birds --tag v1.0 --dataset user/birds --license cc-by-4.0 --dry_run
    pm-vit publish runs/birds user/pm-vit-birds --tag v1.0 --dataset user/birds --license cc-by-4.0 \\
        --examples photos/*.png --onnx runs/birds-onnx

--dry_run does everything but the upload; --output_dir then keeps the folders to look at. To upload, log in with
`hf auth login` first. Exit status: 0 if the tag exists and is verified, and after a dry run; else 2, and the branch
main of the repository is then as it was, or complete.
"""

from collections.abc import Sequence

from transformers.utils import logging

from ..hub.arguments import PublishArguments
from ..hub.publish import publish
from ..utils.arguments import ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(PublishArguments, command="pm-vit publish", description=__doc__)
    given: PublishArguments = parser.parse(arguments)
    logging.disable_progress_bar()
    publish(given)
    return 0
