"""The splits of ImageNet and CUB by Choe et al., with boxes for ImageNetV2 and CUBV2, on which thresholds are chosen:
*Evaluating Weakly Supervised Object Localization Methods Right*, CVPR 2020.
"""

from functools import partial
from pathlib import Path
from typing import Literal

from datasets import ClassLabel, Dataset, Features, Image, List, Value

from ...utils.errors import InputError
from ..columns import Columns
from ..masks import MaskEncoding
from .reading import read_fields, require, require_split

PAGE = "https://github.com/clovaai/wsolevaluation"


def load_wsol_boxes(name: Literal["ILSVRC", "CUB"], root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        name: of the folders.
        root: Choe et al.'s repository with `metadata/NAME/SPLIT/{image_ids,class_labels,localization}.txt`, and
            `dataset/NAME` with the images that these list. Lines are `FILE`, `FILE,LABEL` and `FILE,X0,Y0,X1,Y1`, one
            line for each box.
        split: `"train"` (of ImageNet without boxes), `"val"`, the held-out split on which thresholds are chosen
            (ImageNetV2, CUBV2), or `"test"`.

    Returns:
        Images by path; labels are Choe et al.'s numbers, which are also their names: they count the sorted classes.
        `boxes` are in pixels of the image.

    Raises:
        NotFoundError: naming the file that is missing and where to get it.
        InputError: if there is no such split, or an image has no label or box.
    """
    require_split(split, ("train", "val", "test"), f"{name} of Choe et al.")
    metadata, folder = root / "metadata" / name / split, root / "dataset" / name
    ids = read_fields(require(metadata / "image_ids.txt", "a list of images", PAGE), ",")
    labels = dict(read_fields(require(metadata / "class_labels.txt", "the images' classes", PAGE), ","))
    classes = max(int(label) for label in labels.values()) + 1
    columns = {"image": Image(), "label": ClassLabel(names=[str(number) for number in range(classes)])}
    if split != "train" or (metadata / "localization.txt").exists():
        columns["boxes"] = List(List(Value("float32")))
    boxes: dict[str, list[list[float]]] = {}
    if "boxes" in columns:
        table = require(metadata / "localization.txt", "the images' boxes", PAGE)
        for file, *corners in read_fields(table, ","):
            boxes.setdefault(file, []).append([float(corner) for corner in corners])
    rows = []
    for (file,) in ids:
        if file not in labels or ("boxes" in columns and file not in boxes):
            raise InputError(f"{metadata}: image_ids.txt lists {file}, but its class or its box is missing.")
        path = require(folder / file, f"an image of metadata/{name}", PAGE)
        row = {"image": str(path), "label": int(labels[file]), "boxes": boxes.get(file)}
        rows.append({column: row[column] for column in columns})
    boxes_column = "boxes" if "boxes" in columns else None
    return Dataset.from_list(rows, features=Features(columns)), "binary", Columns(mask=None, boxes=boxes_column)


load_imagenet_wsol = partial(load_wsol_boxes, "ILSVRC")
load_cub_wsol = partial(load_wsol_boxes, "CUB")
