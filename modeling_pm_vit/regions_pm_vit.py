"""Reads parts of large TIFF files, so that an image that is explained in tiles is never in memory; needs tifffile."""

import os
from collections import OrderedDict
from typing import Any

import numpy as np
from PIL import Image

from .dicom_pm_vit import Window, windowed
from .image_loading_pm_vit import MAX_PIXELS

KEPT_BYTES = 2**26  # of decoded tiles or strips of the file, which the next parts of the image need again


class Regions:
    """
    The first page of a TIFF file, of which [`crop`] decodes only those tiles or strips that it needs.

    Args:
        file: a `tifffile.TiffFile`.
        window: of a grey image, the values that become black and white.

    Attributes:
        size: (width, height) in pixels, as of a PIL image.
        decoded: how many tiles or strips were decoded so far.
    """

    def __init__(self, file: Any, window: Window | None = None):
        self.file, self.page, self.window = file, file.pages[0], window
        self.size = (self.page.imagewidth, self.page.imagelength)
        self.width, self.height = self.size
        self.decoded = 0
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __del__(self) -> None:
        self.file.close()

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The part `(left, top, right, bottom)` within the image, in RGB, as [`load_image`] makes it of the whole."""
        left, top, right, bottom = box
        page = self.page
        length, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        across = -(-page.imagewidth // width)
        values = np.zeros((bottom - top, right - left, page.samplesperpixel), page.dtype)
        for row in range(top // length, -(-bottom // length)):
            for column in range(left // width, -(-right // width)):
                part = self._segment(row * across + column)
                y, x = row * length, column * width
                above, below = max(top, y), min(bottom, y + part.shape[0])
                first, last = max(left, x), min(right, x + part.shape[1])
                values[above - top : below - top, first - left : last - left] = part[
                    above - y : below - y, first - x : last - x
                ]
        levels = values if self.window is None else windowed(values, self.window)
        return Image.fromarray(levels.squeeze(-1) if levels.shape[-1] == 1 else levels).convert("RGB")

    def _segment(self, index: int) -> np.ndarray:
        """A tile or strip `(rows, columns, samples)`; an empty one is black."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        page, handle = self.page, self.file.filehandle
        count = page.databytecounts[index]
        handle.seek(page.dataoffsets[index])
        found, _, shape = page.decode(handle.read(count) if count else None, index, jpegtables=page.jpegtables)
        part: np.ndarray = np.zeros(shape[1:], page.dtype) if found is None else found[0]
        self.decoded += 1
        self._kept[index] = part
        while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return part


def open_regions(source: Any, window: Window | None = None) -> Regions | None:
    """
    Open a file to read parts of it.

    Args:
        source: as of [`load_image`].
        window: of grey images.

    Returns:
        None where the whole image has to be read: it is no TIFF file, or one with a rotation, transparency, a palette,
        or values whose levels depend on all others (more than 8 bits without a window); or tifffile, or its decoder of
        this compression (imagecodecs), is not installed.
    """
    if not isinstance(source, (str, os.PathLike)) or not os.path.isfile(source):
        return None
    with open(source, "rb") as beginning:
        if beginning.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return None
    try:
        from tifffile import TiffFile
    except ImportError:
        return None
    try:
        regions = Regions(TiffFile(source), window)
        if _is_plain(regions.page, window) and regions.width * regions.height <= MAX_PIXELS:
            regions.crop((0, 0, 1, 1))  # whether it can be decoded
            return regions
    except Exception:  # of a damaged file or a missing decoder, any; what reads the whole image says which
        pass
    return None


def _is_plain(page: Any, window: Window | None) -> bool:
    """Whether the levels of a part are those of the same part of the whole image."""
    kinds = ("RGB", "YCBCR") if page.compression.name == "JPEG" else ("RGB",)  # whose decoder converts
    colour = page.photometric.name in kinds and page.samplesperpixel == 3 and window is None
    grey = page.photometric.name == "MINISBLACK" and page.samplesperpixel == 1
    depth = page.dtype == np.uint8 if window is None else page.dtype is not None
    tags = page.tags
    upright = "Orientation" not in tags or tags["Orientation"].value == 1
    contiguous = page.planarconfig == 1 or page.samplesperpixel == 1
    return bool((colour or grey) and depth and upright and contiguous and page.imagedepth == 1)


__all__ = ["Regions", "open_regions"]
