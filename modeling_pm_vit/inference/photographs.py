"""Decodes and resizes photographs in threads, in batches, while the model runs on earlier batches."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import ExifTags, Image

from ..data.decoding import encoded_value
from ..image_loading_pm_vit import MAX_PIXELS, Window, load_image
from ..image_processing_pm_vit import PMViTImageProcessor
from ..regions_pm_vit import Regions, open_regions
from ..tiles_pm_vit import OVERLAP, Tiling, tiling_of

AHEAD = 2  # batches
Item = TypeVar("Item")


@dataclass(frozen=True)
class TileOptions:
    """`tile` and `overlap` of [`tiling_of`]."""

    tile: int
    overlap: float = OVERLAP


@dataclass
class Photograph:
    """
    A photograph: its (height, width), its pixel values for the model `(channels, height, width)`, and the image. One
    that is explained in tiles has its tiling instead of pixel values, and its image may be read by parts.
    """

    size: tuple[int, int]
    pixel_values: torch.Tensor | None
    image: Image.Image | Regions | None
    tiling: Tiling | None = None


@dataclass
class Failure:
    """A photograph that could not be read, and why."""

    reason: str


def read_photograph(
    value: Any,
    processor: PMViTImageProcessor,
    keep_image: bool,
    tiles: TileOptions | None = None,
    window: Window | None = None,
) -> Photograph | Failure:
    """
    Args:
        value: a path, or a value of an image column of a dataset.
        tiles: how to divide images that are larger than a tile.
        window: of grey images, see [`load_image`].
        keep_image: if False, a JPEG of at least twice the input size of the model is decoded at 1/2, 1/4 or 1/8 of its
            size, not below twice the input size. This is several times faster, and the resized pixels differ by 1 or 2
            of 255 levels. It is not done if the processor keeps the aspect ratio.
    """
    try:
        reduced = None if keep_image or tiles or window else _reduced(value, processor)
        if reduced is not None:
            image, size = reduced
            pixel_values = processor(image, do_resize=False, return_tensors="pt").pixel_values[0]
            return Photograph(size, pixel_values, None)
        source = encoded_value(value)
        if tiles and not keep_image and (regions := open_regions(source, window)) is not None:
            size = (regions.height, regions.width)
            if not (tiling := tiling_of(size, tiles.tile, tiles.overlap, processor)).is_single:
                return Photograph(size, None, regions, tiling)
        image = load_image(source, window=window)
        size = (image.height, image.width)
        if tiles and not (tiling := tiling_of(size, tiles.tile, tiles.overlap, processor)).is_single:
            return Photograph(size, None, image, tiling)
        pixel_values = processor(image, return_tensors="pt").pixel_values[0]
        return Photograph(size, pixel_values, image if keep_image else None)
    except (OSError, SyntaxError, ValueError) as error:  # errors of decoders
        named = not isinstance(value, Path) or str(value) in str(error)
        return Failure(str(error) if named else f"{value}: {error}")


def in_batches(
    items: Iterable[Item], read: Callable[[Item], Photograph | Failure], batch_size: int, workers: int
) -> Iterator[list[tuple[Item, Photograph | Failure]]]:
    """The items in their order with their photographs; the next `AHEAD` batches are read in the meantime."""
    items = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[tuple[Item, Future[Photograph | Failure]]]] = deque()
        try:
            while batch := [(item, pool.submit(read, item)) for item in islice(items, batch_size)]:
                waiting.append(batch)
                if len(waiting) > AHEAD:
                    yield [(item, future.result()) for item, future in waiting.popleft()]
            while waiting:
                yield [(item, future.result()) for item, future in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)


def _reduced(value: Any, processor: PMViTImageProcessor) -> tuple[Image.Image, tuple[int, int]] | None:
    """A large JPEG, decoded at a reduced size and resized like by the processor, and its full (height, width)."""
    height, width = processor.size.height, processor.size.width
    if not processor.do_resize or not height or not width:
        return None
    value = encoded_value(value)
    if not isinstance(value, bytes) and not (isinstance(value, Path) and value.is_file()):
        return None
    try:
        opened = Image.open(BytesIO(value) if isinstance(value, bytes) else value, formats=["JPEG"])
    except (OSError, Image.DecompressionBombError):
        return None  # no JPEG, or one of which `load_image` says what is wrong
    with opened as image:
        if image.format != "JPEG" or image.width * image.height > MAX_PIXELS:
            return None
        size = (image.height, image.width)
        if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # rotated by 90 degrees
            size, height, width = size[::-1], width, height
        drafted = image.draft(None, (2 * width, 2 * height))
        if drafted is None or image.size[::-1] in (size, size[::-1]):
            return None
        _, box = drafted  # decoded sides are rounded up; the box is the area of the photograph
        return load_image(image.resize((width, height), processor.resample, box=box)), size
