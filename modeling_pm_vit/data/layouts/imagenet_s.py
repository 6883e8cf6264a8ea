"""ImageNet-S: Gao et al., *Large-scale unsupervised semantic segmentation*, TPAMI 2022."""

import logging
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Image

from ...utils.errors import NotFoundError
from ..columns import Columns
from ..masks import MaskEncoding
from .reading import require, require_split

PAGE = "https://github.com/LUSSeg/ImageNet-S"
CATEGORIES = (50, 300, 919)  # of the three published sets
logger = logging.getLogger(__name__)


def load_imagenet_s(root: Path, split: str) -> tuple[Dataset, MaskEncoding, Columns]:
    """
    Args:
        root: `ImageNetS919`, `ImageNetS300` or `ImageNetS50`, with `SPLIT/WNID/NAME.JPEG` and
            `SPLIT-segmentation/WNID/NAME.png`.
        split: `"validation"` or `"train-semi"`, the two whose masks are published.

    Returns:
        Images and masks by path. The numbers in the masks count the sorted WNIDs from 1, the labels count them from 0:
        the folder of a split must hold all classes, as it does when published.

    Raises:
        NotFoundError: naming the folder or mask that is missing and where to get it.
        InputError: if there is no such split.
    """
    require_split(split, ("train-semi", "validation"), "ImageNet-S (with masks)")
    images = require(root / split, "images, WNID/NAME.JPEG", PAGE)
    masks = require(root / f"{split}-segmentation", "masks, WNID/NAME.png", PAGE)
    names = sorted(path.name for path in images.iterdir() if path.is_dir())
    if len(names) not in CATEGORIES:
        logger.warning(
            "%s has %d classes; the published sets have 50, 300 and 919. The masks count the classes of the whole set: "
            "if some are missing here, the numbers do not fit.",
            images,
            len(names),
        )
    rows: dict[str, list[str]] = {"image": [], "label": [], "mask": []}
    for path in sorted(images.glob("*/*.JPEG")):
        wnid = path.parent.name
        rows["image"].append(str(path))
        rows["label"].append(wnid)
        rows["mask"].append(str(require(masks / wnid / f"{path.stem}.png", f"the mask of {path.name}", PAGE)))
    if not rows["image"]:
        raise NotFoundError(f"there are no images WNID/NAME.JPEG in {images}. Download: {PAGE}")
    features = Features({"image": Image(), "label": ClassLabel(names=names), "mask": Image()})
    return Dataset.from_dict(rows, features=features), "imagenet_s", Columns()
