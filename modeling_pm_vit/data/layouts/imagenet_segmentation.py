"""ImageNet-Segmentation: Guillaumin et al., *ImageNet Auto-Annotation with Segmentation Propagation*, IJCV 2014."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image

from ...utils.errors import InputError
from ...utils.extras import import_extra
from ..columns import Columns
from ..masks import MaskEncoding
from .reading import encode_png, require, require_split, stamp

FILE = "gtsegs_ijcv.mat"
PAGE = f"http://calvin-vision.net/bigstuff/proj-imagenet/data/{FILE}"


def load_imagenet_segmentation(root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    The 4,276 images that Chefer et al. (CVPR 2021) and their followers test on.

    The file is MATLAB 7.3, that is HDF5, with columns of references: `value/img` to arrays `(3, width, height)` uint8,
    `value/gt` to cells whose first is an array `(width, height)` of 0 and 1, `value/target` to the characters of a
    WNID. This follows several public readers; it was not tested on the file itself. Further masks of an image are
    ignored, as Chefer et al. do.

    Args:
        root: the file, or the folder that holds it.
        split: `"test"`.

    Returns:
        Images and masks, copied once into the cache of `datasets`; labels are the sorted WNIDs of the file.

    Raises:
        NotFoundError: if the file is missing.
        MissingExtraError: if h5py is not installed.
        InputError: if there is no such split, or the file is laid out differently.
    """
    require_split(split, ("test",), "ImageNet-Segmentation")
    path = require(root / FILE if root.is_dir() else root, f"Guillaumin et al.'s {FILE}", PAGE)
    with _open(path) as file:
        missing = [name for name in ("value/img", "value/gt", "value/target") if name not in file]
        if missing:
            raise InputError(f"{path} has no {missing[0]}; expected {FILE} of {PAGE}.")
        names = sorted({_text(file[reference]) for reference in file["value/target"][:, 0]})
    features = Features({"image": Image(), "label": ClassLabel(names=names), "mask": Image()})
    source = {"path": path.resolve(), "version": stamp([path])}
    return Dataset.from_generator(_rows, features=features, gen_kwargs=source), "binary", Columns()


def _rows(path: Path, version: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    with _open(path) as file:
        images, masks, targets = (file[f"value/{name}"][:, 0] for name in ("img", "gt", "target"))
        for image, mask, target in zip(images, masks, targets, strict=True):
            # MATLAB stores arrays column by column, so that HDF5 has the axes in reverse order.
            pixels, plane = file[image][()].transpose(2, 1, 0), file[file[mask][0, 0]][()].T
            yield {
                "image": encode_png(np.ascontiguousarray(pixels)),
                "label": _text(file[target]),
                "mask": encode_png((plane > 0).astype(np.uint8)),
            }


def _text(characters: Any) -> str:
    return "".join(chr(code) for code in characters[()].ravel())


def _open(path: Path) -> Any:
    h5py = import_extra("h5py", f"reading {path}", "eval")
    return h5py.File(path, "r")
