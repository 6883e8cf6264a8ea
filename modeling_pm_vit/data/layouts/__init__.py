"""Benchmark datasets in the folders and files that their authors publish, one a file, as `datasets` datasets."""

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from ..columns import Columns
from ..masks import MaskEncoding

Layout = Callable[[Path, str], tuple[Dataset, MaskEncoding, Columns]]

LAYOUTS: dict[str, Layout] = {}


def load_layout(name: str, root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        name: in `LAYOUTS`.
        root: the folder (or file) as published.
        split: name of the split.

    Raises:
        FileNotFoundError: naming the file that is missing and where to get it.
    """
    return LAYOUTS[name](root, split)
