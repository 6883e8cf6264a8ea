"""Composes scenes of several classes: pastes objects with masks on photographs (*copy-paste*, Ghiasi et al., 2021)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image, ImageFilter, ImageOps
from tqdm import tqdm

from ..image_loading_pm_vit import load_image
from ..utils.errors import InputError
from .classes import class_names
from .columns import Columns
from .decoding import BAD_ROW_ERRORS, decode_value
from .masks import MaskEncoding, MaskFormat, decode_mask
from .rows import Rows, place_of

# Longer side of the first object and of the others, as a fraction of the scene's side.
_LARGE, _SMALL = (0.45, 0.65), (0.25, 0.4)
_TRIES = 30
_MAX_COVERED = 0.2  # of an object, by an object in front of it


@dataclass(frozen=True)
class Cutout:
    """An object: its `image` (RGB) and `mask` (L, 255 inside), cut to the object, and its class index."""

    image: Image.Image
    mask: Image.Image
    label: int


def cut_out(image: Image.Image, mask: Image.Image, label: int) -> Cutout:
    """
    Cut out the object of a photograph, without the outermost pixels of its mask, which show the old background.

    Raises:
        InputError: if the mask is not of the image's size, or nothing of it is left.
    """
    if mask.size != image.size:
        raise InputError(f"a mask must be of its image's size {image.size}, got {mask.size}.")
    inner = mask.convert("L").point(lambda value: 255 * (value > 0)).filter(ImageFilter.MinFilter(3))
    box = inner.getbbox()
    if box is None:
        raise InputError(
            "the mask is empty, or at most two pixels wide everywhere; classes without an object are left out with "
            "--empty_classes."
        )
    return Cutout(image.convert("RGB").crop(box), inner.crop(box), label)


def compose_scene(
    rng: np.random.Generator, cutouts: Sequence[Cutout], background: Image.Image, size: int
) -> tuple[Image.Image, int, Image.Image]:
    """
    Compose a scene of a large object and small objects in front of it, each mirrored at random, at a random position
    where it covers little of the others. An object without such a position is left out; the first never is.

    Args:
        cutouts: of different classes.
        background: a square of it, chosen at random, fills the scene.
        size: side of the scene in pixels.

    Returns:
        The scene, the class of its large object, and its map of class index + 1, 0 for the background.
    """
    side = min(background.size)
    x, y = (int(rng.integers(length - side + 1)) for length in background.size)
    scene = background.convert("RGB").crop((x, y, x + side, y + side)).resize((size, size), Image.Resampling.BICUBIC)
    ids = np.zeros((size, size), np.uint16)
    for number, cutout in enumerate(cutouts):
        scale = rng.uniform(*(_SMALL if number else _LARGE)) * size / max(cutout.image.size)
        shape = [max(1, round(length * scale)) for length in cutout.image.size]
        image, mask = (part.resize(shape, Image.Resampling.BICUBIC) for part in (cutout.image, cutout.mask))
        if rng.random() < 0.5:
            image, mask = ImageOps.mirror(image), ImageOps.mirror(mask)
        for _ in range(_TRIES):
            x, y = (int(rng.integers(size - length + 1)) for length in shape)
            cover = Image.new("L", scene.size)
            cover.paste(mask, (x, y))
            inside = np.asarray(cover) >= 128
            if _covers_little(inside, ids):
                scene.paste(image, (x, y), mask)
                ids[inside] = cutout.label + 1
                break
    return scene, cutouts[0].label, Image.fromarray(ids)


def _covers_little(inside: np.ndarray, ids: np.ndarray) -> bool:
    shown = np.bincount(ids.ravel())[1:]
    hidden = np.bincount(ids[inside], minlength=len(shown) + 1)[1:]
    return bool((hidden <= _MAX_COVERED * shown).all())


def compose_scenes(
    objects: Rows,
    backgrounds: Rows,
    num_scenes: int,
    image_size: int = 224,
    max_objects: int = 3,
    seed: int = 0,
    columns: Columns | None = None,
    masks: MaskFormat | MaskEncoding = "binary",
    empty_classes: Sequence[str] = (),
) -> Dataset:
    """
    Args:
        objects: photographs of one object each, with its class (a `ClassLabel`) and its mask.
        backgrounds: photographs.
        num_scenes: number of scenes.
        image_size: side of a scene in pixels.
        max_objects: largest number of objects in a scene, at least 2, each of another class; a scene without space for
            all of them has fewer.
        seed: of all random choices; a smaller set is the beginning of a larger one.
        columns: of the objects, by default `Columns()`; the backgrounds have the image column.
        masks: how the masks of the objects are read.
        empty_classes: classes without an object, which are left out.

    Returns:
        `image`, `label` (of the large object) and `mask`, a map of class index + 1, as in the built-in set. All classes
        are the large object equally often, in turn.

    Raises:
        InputError: if there are fewer classes than objects in a scene, or a mask cannot be used; names the row.
    """
    columns = columns or Columns()
    names, labels = class_names(objects.features, columns.label), np.array(objects.values(columns.label))
    shown = [c for c in range(len(names)) if names[c] not in empty_classes]
    rows = {c: found for c in shown if len(found := np.flatnonzero(labels == c))}
    if not 2 <= max_objects <= len(rows):
        raise InputError(
            f"a scene may have 2 to {len(rows)} objects, each of another class (--max_objects), got {max_objects}."
        )

    def rows_of_scenes() -> Iterator[dict[str, Any]]:
        for index in range(num_scenes):
            rng = np.random.default_rng((seed, index))
            large = sorted(rows)[index % len(rows)]
            others = [c for c in rng.permutation(sorted(rows)).tolist() if c != large]
            classes = [large, *others[: int(rng.integers(1, max_objects))]]
            cutouts = [_cut_out_row(objects, int(rng.choice(rows[c])), columns, masks) for c in classes]
            background = _image(backgrounds, int(rng.integers(len(backgrounds))), columns)
            image, label, mask = compose_scene(rng, cutouts, background, image_size)
            yield {"image": image, "label": label, "mask": mask}

    features = Features({"image": ImageFeature(), "label": ClassLabel(names=names), "mask": ImageFeature()})
    return Dataset.from_list(list(tqdm(rows_of_scenes(), "scenes", num_scenes)), features=features)


def _image(rows: Rows, index: int, columns: Columns) -> Image.Image:
    row = rows[index]
    try:
        return load_image(decode_value(row[columns.image]))
    except BAD_ROW_ERRORS as error:
        raise InputError(f"{place_of(rows, index, row, columns.image)}: {error}") from error


def _cut_out_row(objects: Rows, index: int, columns: Columns, masks: MaskFormat | MaskEncoding) -> Cutout:
    image, row = _image(objects, index, columns), objects[index]
    label = row[columns.label]
    try:
        shown, planes, _ = decode_mask(
            decode_value(row.get(str(columns.mask))), masks, label, (image.height, image.width)
        )
        if not shown:
            raise InputError("it has no mask.")
        return cut_out(image, Image.fromarray(planes[0] * 255), label)
    except BAD_ROW_ERRORS as error:
        raise InputError(f"{place_of(objects, index, row, columns.image)}: {error}") from error
