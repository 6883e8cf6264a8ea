"""Images that a model cannot know: noise, the drawings of the built-in set, those of another dataset or class."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from ...data.columns import require_columns
from ...data.decoding import decode_value
from ...data.rows import Rows
from ...data.sources import open_rows
from ...data.synthetic import synthetic_dataset
from ...image_loading_pm_vit import load_image

NOISE, DRAWINGS, LEFT_OUT = "noise", "drawings", "left_out"


def unknown_images(
    source: str, count: int, split: str = "test", column: str = "image", side: int = 224, seed: int = 0
) -> Iterator[Image.Image]:
    """
    Args:
        source: `"noise"`: each pixel and channel uniform; `"drawings"`: the built-in images; or a dataset.
        count: at most so many, of a dataset drawn at random.
        split, column: of a dataset.
        side: of images of noise, in pixels.

    Raises:
        InputError, NotFoundError: if there is no such dataset, split or column, or an image cannot be read.
    """
    rng = np.random.default_rng(seed)
    if source == NOISE:
        for _ in range(count):
            yield Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
    elif source == DRAWINGS:
        for row in synthetic_dataset("test", count):
            yield row["image"].convert("RGB")
    else:
        yield from images_of(open_rows(source, split, label_column=None), count, column, seed)


def images_of(rows: Rows, count: int, column: str = "image", seed: int = 0) -> Iterator[Image.Image]:
    """
    The images of at most `count` rows, drawn at random.

    Raises:
        InputError: if there is no such column, or an image cannot be read.
    """
    require_columns(rows.name, rows.features, {"--image_column": column})
    for index in np.random.default_rng(seed).permutation(len(rows))[:count]:
        yield load_image(decode_value(rows[int(index)][column]))
