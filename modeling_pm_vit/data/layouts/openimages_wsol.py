"""OpenImages30k: Choe et al., *Evaluating Weakly Supervised Object Localization Methods Right*, CVPR 2020."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage

from ...utils.errors import InputError
from ..columns import Columns
from ..masks import CLASS_ID_IGNORE, MaskEncoding
from .reading import encode_png, read_fields, require, require_split, stamp

_SIDE = 224  # pixels, of Choe et al.'s images and masks
PAGE = "https://github.com/clovaai/wsolevaluation"


def load_openimages_wsol(root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        root: Choe et al.'s repository with `metadata/OpenImages/SPLIT/{image_ids,class_labels,localization}.txt`, and
            `dataset/OpenImages` with the images and masks that these name (`SPLIT/CLASS/NAME`).
        split: `"train"` (no masks are published), `"val"` or `"test"`.

    Returns:
        Images by path; labels are Choe et al.'s numbers, named by the folder of their images. Masks are maps of class
        number + 1, the union of an image's objects; 65535 in the ignored region outside the objects. They are stored in
        the cache of `datasets`. As in Choe et al.'s code, each file is resized to 224×224: pixel i is taken from
        floor(i · side / 224), not from the middle of the pixels that it covers. Then it is enlarged to the image's
        size, so that a model of 224×224 gets their pixels (if no side of the image is smaller).

    Raises:
        NotFoundError: naming the file that is missing and where to get it.
        InputError: if there is no such split, or an image of it has no mask.
    """
    require_split(split, ("train", "val", "test"), "OpenImages30k")
    metadata, folder = root / "metadata/OpenImages" / split, root / "dataset/OpenImages"
    ids = read_fields(require(metadata / "image_ids.txt", "a list of images", PAGE), ",")
    labels = dict(read_fields(require(metadata / "class_labels.txt", "the images' classes", PAGE), ","))
    numbers = {int(label): Path(name).parent.name for name, label in labels.items()}
    names = [numbers.get(number, f"class {number}") for number in range(max(numbers) + 1)]
    columns = {"image": Image(), "label": ClassLabel(names=names)}
    rows = [{"image": str(_file(folder, name)), "label": int(labels[name])} for (name,) in ids]
    if split == "train":
        return Dataset.from_list(rows, features=Features(columns)), "class_id", Columns(mask=None)
    objects: dict[str, list[str]] = {}
    ignored: dict[str, list[str]] = {}
    for name, mask, ignore in read_fields(require(metadata / "localization.txt", "the images' masks", PAGE), ","):
        objects.setdefault(name, []).append(mask)
        ignored.setdefault(name, []).extend([ignore] if ignore else [])
    without = [name for (name,) in ids if name not in objects]
    if without:
        raise InputError(f"{metadata / 'localization.txt'} has no mask of {without[0]}, which image_ids.txt lists.")
    masks = tuple(tuple(_file(folder, mask) for mask in objects[name]) for (name,) in ids)
    ignores = tuple(tuple(_file(folder, mask) for mask in ignored[name]) for (name,) in ids)
    source = {"rows": tuple(rows), "masks": masks, "ignores": ignores}
    source["version"] = stamp([path for paths in masks + ignores for path in paths])
    dataset = Dataset.from_generator(_with_masks, features=Features(columns | {"mask": Image()}), gen_kwargs=source)
    return dataset, "class_id", Columns()


def _file(folder: Path, name: str) -> Path:
    return require(folder / name, "an image or mask that metadata/OpenImages names", PAGE)


def _with_masks(
    rows: tuple[dict[str, Any], ...], masks: tuple[Any, ...], ignores: tuple[Any, ...], version: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    for row, objects, ignored in zip(rows, masks, ignores, strict=True):
        with PILImage.open(row["image"]) as image:
            size = image.size
        ids = np.where(_union(ignored, size), CLASS_ID_IGNORE, 0).astype(np.uint16)
        ids[_union(objects, size)] = row["label"] + 1
        yield row | {"mask": encode_png(ids)}


def _union(paths: tuple[Path, ...], size: tuple[int, int]) -> np.ndarray:
    """The union of the masks, boolean `(height, width)`; `size` is (width, height)."""
    united = np.zeros((_SIDE, _SIDE), np.uint8)
    for path in paths:
        with PILImage.open(path) as file:
            mask = np.asarray(file.convert("L"))
        rows, columns = (np.arange(_SIDE) * side // _SIDE for side in mask.shape)
        united |= mask[np.ix_(rows, columns)] > 0
    return np.asarray(PILImage.fromarray(united).resize(size, PILImage.Resampling.NEAREST)) > 0
