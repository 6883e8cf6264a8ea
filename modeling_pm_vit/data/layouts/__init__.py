"""Readers of benchmark datasets in the folders and files that their authors publish; one file for each dataset."""

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from ..columns import Columns
from ..masks import MaskEncoding
from .cub_200_2011 import load_cub_200_2011
from .imagenet_1k import load_imagenet_1k
from .imagenet_s import load_imagenet_s
from .imagenet_segmentation import load_imagenet_segmentation
from .openimages_wsol import load_openimages_wsol
from .wsol_boxes import load_cub_wsol, load_imagenet_wsol

Layout = Callable[[Path, str], tuple[Dataset, MaskEncoding, Columns]]

LAYOUTS: dict[str, Layout] = {
    "cub-200-2011": load_cub_200_2011,
    "cub-wsol": load_cub_wsol,
    "imagenet-1k": load_imagenet_1k,
    "imagenet-s": load_imagenet_s,
    "imagenet-segmentation": load_imagenet_segmentation,
    "imagenet-wsol": load_imagenet_wsol,
    "openimages-wsol": load_openimages_wsol,
}


def load_layout(name: str, root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        name: in `LAYOUTS`.
        root: the folder (or file) as published.
        split: name of the split.

    Raises:
        NotFoundError: naming the file that is missing and where to get it.
        InputError: if there is no such split; names those that are.
    """
    return LAYOUTS[name](root, split)
