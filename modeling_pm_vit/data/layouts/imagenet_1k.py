"""ImageNet-1k's validation set: Russakovsky et al., *ImageNet Large Scale Visual Recognition Challenge*, IJCV 2015."""

import csv
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, Image, List, Value

from ...utils.errors import InputError, NotFoundError
from ..columns import Columns
from ..masks import MaskEncoding
from .reading import read_fields, require, require_split

PAGE = "https://www.kaggle.com/c/imagenet-object-localization-challenge"


def load_imagenet_1k(root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        root: holds `val/WNID/NAME.JPEG`, or Kaggle's `ILSVRC/Data/CLS-LOC/val/NAME.JPEG` beside
            `LOC_val_solution.csv` (columns `ImageId` and `PredictionString`, `WNID x0 y0 x1 y1` for each object).
        split: `"val"`.

    Returns:
        Images by path; labels are the sorted WNIDs of `LOC_synset_mapping.txt` if it exists, else of the folders or the
        table. `boxes` are those of the image's class, in pixels as in the table (whether its first pixel is 0 or 1 is
        not documented); there is no such column without the table.

    Raises:
        NotFoundError: naming the file that is missing and where to get it.
        InputError: if there is no such split.
    """
    require_split(split, ("val",), "ImageNet-1k")
    table = root / "LOC_val_solution.csv"
    folder = next((path for path in (root / "val", root / "ILSVRC/Data/CLS-LOC/val") if path.is_dir()), root / "val")
    require(folder, "the validation images (or in ILSVRC/Data/CLS-LOC/val, as Kaggle packs them)", PAGE)
    objects = _read_objects(table) if table.exists() else {}
    paths = sorted(folder.glob("*/*.JPEG"))
    if paths:
        wnids = [path.parent.name for path in paths]
    else:
        require(table, "the classes of validation images that lie in one folder", PAGE)
        paths = sorted(folder.glob("*.JPEG"))
        if not paths:
            raise NotFoundError(f"there are no images *.JPEG or */*.JPEG in {folder}. Download: {PAGE}")
        strays = [path.name for path in paths if not objects.get(path.stem)]
        if strays:
            raise InputError(f"{table} has no class for {strays[0]} ({len(strays)} such images).")
        wnids = [objects[path.stem][0][0] for path in paths]
    mapping = root / "LOC_synset_mapping.txt"
    names = sorted({fields[0] for fields in read_fields(mapping)} if mapping.exists() else set(wnids))
    features = {"image": Image(), "label": ClassLabel(names=names)}
    rows: dict[str, list[Any]] = {"image": [str(path) for path in paths], "label": wnids}
    if objects:
        features["boxes"] = List(List(Value("float32")))
        rows["boxes"] = [
            [box for name, box in objects.get(path.stem, []) if name == wnid] or None
            for path, wnid in zip(paths, wnids, strict=True)
        ]
    dataset = Dataset.from_dict(rows, features=Features(features))
    return dataset, "binary", Columns(mask=None, boxes="boxes" if objects else None)


def _read_objects(table: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """For each image (without `.JPEG`) its objects: WNID and box."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [(row["ImageId"], row["PredictionString"].split()) for row in csv.DictReader(file)]
    return {
        image: [(f[start], [float(value) for value in f[start + 1 : start + 5]]) for start in range(0, len(f), 5)]
        for image, f in rows
    }
