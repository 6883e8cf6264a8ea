"""CUB-200-2011: Wah et al., *The Caltech-UCSD Birds-200-2011 Dataset*, Caltech CNS-TR-2011-001."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as PILImage

from ..columns import Columns
from ..masks import MaskEncoding
from .reading import encode_png, read_fields, require, require_split, stamp

PAGE = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
TABLES = ("images", "image_class_labels", "train_test_split", "bounding_boxes")


def load_cub_200_2011(root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        root: `CUB_200_2011` with its tables and `images`. Masks are read from `segmentations` (a separate archive),
            in it or beside it, if that exists.
        split: `"train"` or `"test"`.

    Returns:
        Images by path; labels are the classes of `classes.txt`, as `001.Black_footed_Albatross`; `boxes` are
        `[x, y, x + width, y + height]` of `bounding_boxes.txt`, as in Choe et al.'s table. The grey levels of the masks
        are the share of annotators who marked the bird (as chainercv reads them; the authors do not document it): the
        mask is where it is above half. Binary masks are stored in the cache of `datasets`.

    Raises:
        NotFoundError: naming the file that is missing and where to get it.
        InputError: if there is no such split.
    """
    require_split(split, ("train", "test"), "CUB-200-2011")
    classes = read_fields(require(root / "classes.txt", "the names of the 200 classes", PAGE), count=1)
    names = dict(classes)
    tables = [{key: rest for key, *rest in read_fields(_table(root, name))} for name in TABLES]
    files, labels, is_training, boxes = tables
    rows: list[dict[str, Any]] = []
    for number, (file,) in files.items():
        if (is_training[number] == ["1"]) == (split == "train"):
            x, y, width, height = map(float, boxes[number])
            path = require(root / "images" / file, "an image of images.txt", PAGE)
            box = [x, y, x + width, y + height]
            rows.append({"image": str(path), "label": names[labels[number][0]], "boxes": [box]})
    columns = {"image": Image(), "label": ClassLabel(names=list(names.values()))}
    columns["boxes"] = List(List(Value("float32")))
    folder = next((path / "segmentations" for path in (root, root.parent) if (path / "segmentations").is_dir()), None)
    if folder is None:
        return Dataset.from_list(rows, features=Features(columns)), "binary", Columns(mask=None, boxes="boxes")
    masks = [(folder / Path(row["image"]).relative_to(root / "images")).with_suffix(".png") for row in rows]
    for mask in masks:
        require(mask, "the mask of an image", PAGE)
    source = {"rows": tuple(rows), "masks": tuple(masks), "version": stamp(masks)}
    dataset = Dataset.from_generator(_with_masks, features=Features(columns | {"mask": Image()}), gen_kwargs=source)
    return dataset, "binary", Columns(boxes="boxes")


def _table(root: Path, name: str) -> Path:
    return require(root / f"{name}.txt", "a table of CUB-200-2011, a line an image", PAGE)


def _with_masks(
    rows: tuple[dict[str, Any], ...], masks: tuple[Path, ...], version: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    for row, path in zip(rows, masks, strict=True):
        with PILImage.open(path) as file:
            yield row | {"mask": encode_png((np.asarray(file.convert("L")) > 127).astype(np.uint8))}
