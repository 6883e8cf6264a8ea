"""
Reads photographs: a file, URL, bytes, PIL image or array becomes an upright RGB image, by one set of rules.

Needs numpy and Pillow alone, so that a server without torch gives the same answers.
"""

import base64
import io
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

import numpy as np
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from .dicom_pm_vit import Window, check_window, is_dicom, read_dicom, windowed

if TYPE_CHECKING:
    import torch

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

MAX_PIXELS = 178_956_970  # the limit of Pillow, above which an image counts as a decompression bomb
MAX_DOWNLOAD = 100 * 2**20  # bytes of the file at a URL
MAX_REDIRECTS = 5
MAX_SILENCE = 10.0  # seconds without a byte, after which a download is given up
MAX_SECONDS = 60.0  # of a whole download
DEPTHS = (8, 10, 12, 14, 16)  # bits of a value, in the files of cameras, scanners and detectors


def load_image(
    image: "Source | Image.Image | np.ndarray | torch.Tensor",
    max_pixels: int = MAX_PIXELS,
    formats: list[str] | None = None,
    window: Window | None = None,
) -> Image.Image:
    """
    Load a photograph, upright and in RGB; of several frames or pages the first.

    - The EXIF orientation is applied. Transparent pixels are put on white. Grey, palette and CMYK images are converted.
    - Values of 16 or 32 bits and floats become 0 ... 255 by the range of this file: floats in [0, 1] are multiplied by
      255; whole numbers up to 65535 are scaled from the smallest of 8, 10, 12, 14 and 16 bits that holds them all, or
      from the bits that a TIFF states; any others are stretched from their minimum to their maximum, with a warning.
    - Of colour images with 16 bits per channel Pillow reads the upper 8. If these are nearly black, a warning says so.
    - DICOM files are read by pydicom, with the window that they name: see [`read_dicom`].

    Args:
        image: a path, an `http(s)://` or `data:` URL, the bytes of a file, a file object, a PIL image, or an array
            `(height, width)`, `(height, width, 1 or 3 or 4)` or `(1 or 3 or 4, height, width)`. An upright RGB image is
            returned as it is.
        max_pixels: a file with more pixels is refused before it is decoded.
        formats: the names of Pillow's formats that are read, as `["JPEG", "PNG"]`. Default: all, and DICOM.
        window: for grey images: the values that become black and white, for all files the same. In a DICOM file they
            are values of its modality (Hounsfield units, say).

    Raises:
        ValueError: if it is not an image, is corrupt or too large, the URL cannot be read, or an image in colour is
            given a window; names the file or URL.
        FileNotFoundError: if the file does not exist.
    """
    if window is not None:
        check_window(window)
    if hasattr(image, "cpu"):
        tensor: Any = image
        image = np.asarray(tensor.detach().cpu())
    if isinstance(image, np.ndarray):
        return _from_array(image, window)
    if isinstance(image, Image.Image):
        name = str(getattr(image, "filename", "") or "the image")
        _decode(image, name)
    else:
        name = _name(image)
        with _opened(image, name) as file:
            if formats is None and is_dicom(file):
                return read_dicom(file, name, max_pixels, window)
            image = open_image(file, max_pixels, formats, name)
    tags = getattr(image, "tag_v2", {})
    with _named_errors(name):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    if window is not None and image.mode not in ("1", "L", "F") and not image.mode.startswith("I"):
        raise ValueError(f"{name}: a window is for grey images, and this one has the mode {image.mode}.")
    if window is not None or image.mode == "F" or image.mode.startswith("I"):
        return _from_values(image, tags, name, window)
    with _named_errors(name):
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image if image.mode == "RGB" else image.convert("RGB")


def load_images(images: Iterable[Any], load: Callable[[Any], Any] | None = None) -> Iterator[Any]:
    """Images as [`load_image`], or `load`, takes them, one at a time. An error names the number of the image."""
    for number, image in enumerate(images):
        try:
            yield (load or load_image)(image)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"images[{number}]: {error}") from error


def is_single(images: Any) -> bool:
    """Whether this is one image as [`load_image`] takes it, not a list, an iterable or a batch of them."""
    one = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    return isinstance(images, one) or hasattr(images, "read") or getattr(images, "ndim", 4) < 4


def open_image(
    source: Source, max_pixels: int = MAX_PIXELS, formats: list[str] | None = None, name: str | None = None
) -> Image.Image:
    """
    Decode an image, its mode and values as they are stored (of DICOM: in RGB). Arguments and errors are those of
    [`load_image`].
    """
    name = name or _name(source)
    with _opened(source, name) as file:
        if formats is None and is_dicom(file):
            return read_dicom(file, name, max_pixels)
        with _named_errors(name):
            image = Image.open(file, formats=formats)
        if image.width * image.height > max_pixels:
            raise ValueError(
                f"{name} is too large to be opened: {image.width} x {image.height} pixels, the limit is {max_pixels:,}."
            )
        _decode(image, name)
    return image


def to_levels(values: np.ndarray, name: str = "the array", bits: int | None = None) -> np.ndarray:
    """
    Values of any type and range as levels 0 ... 255, by the rules of [`load_image`].

    Args:
        values: of any shape.
        name: for messages.
        bits: the depth of whole numbers, if it is known.

    Raises:
        ValueError: if values are NaN or infinite.
    """
    if values.dtype == np.uint8 or not values.size:
        return values.astype(np.uint8)
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} has values that are NaN or infinite: replace them first.")
    floats = np.issubdtype(values.dtype, np.floating)
    top: float
    if floats and low >= 0 and high <= 1:
        top = 1
    elif low >= 0 and high < 2 ** DEPTHS[-1] and (not floats or np.array_equal(values, np.round(values))):
        top = 2 ** (bits or next(depth for depth in DEPTHS if high < 2**depth)) - 1
    else:
        warnings.warn(
            f"{name} has values from {low:g} to {high:g}, neither floats in [0, 1] nor whole numbers up to 65535: they "
            "are stretched from black to white.",
            stacklevel=2,
        )
        values, top = values - np.float64(low), (high - low) or 1
    levels: np.ndarray = (values * np.float32(255 / top)).round().clip(0, 255).astype(np.uint8)
    return levels


@contextmanager
def _opened(source: Any, name: str) -> Iterator[Any]:
    """A source as a file object."""
    if isinstance(source, (str, os.PathLike)):
        with _file(str(source), name) as file:
            yield file
    elif isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif hasattr(source, "read"):
        yield source if getattr(source, "seekable", bool)() else io.BytesIO(source.read())
    else:
        raise ValueError(
            f"expected an image as path, URL, bytes, file object, PIL image or array, got {type(source).__name__}."
        )


def _file(source: str, name: str) -> BinaryIO:
    scheme, separator, _ = source.partition("://")
    if source[:5].lower() == "data:":
        return io.BytesIO(_data(source))
    if separator and scheme.lower() in ("http", "https"):
        return io.BytesIO(_download(source))
    if separator and scheme.isalnum():
        raise ValueError(f"{name} cannot be read: of URLs only http://, https:// and data: can.")
    if not os.path.isfile(source):
        raise FileNotFoundError(f"there is no image file {name}.")
    # Not by path: Pillow would map the file into memory, and turn an uncompressed grey TIFF wrongly.
    return open(source, "rb")


def _from_array(array: np.ndarray, window: Window | None) -> Image.Image:
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)):
        raise ValueError(f"expected an image of 1, 3 or 4 channels, got an array of shape {array.shape}.")
    if window is not None and array.shape[2:] not in ((), (1,)):
        raise ValueError(f"a window is for grey images, and this array has the shape {array.shape}.")
    levels = to_levels(array) if window is None else windowed(array, window)
    return load_image(Image.fromarray(levels.squeeze(-1) if levels.shape[2:] == (1,) else levels))


def _from_values(image: Image.Image, tags: Any, name: str, window: Window | None) -> Image.Image:
    """A grey image, of 16 or 32 bits if there is no window; `tags` are those of a TIFF."""
    values = np.asarray(image)
    (bits, *_) = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))
    if window is not None:
        levels = windowed(values, window)
    else:
        levels = to_levels(values, name, bits if 8 < bits < 16 else None)
    deep = image.mode not in ("1", "L")
    if deep and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero; Pillow regards it to 8 bits
        levels = 255 - levels
    if isinstance(transparent := image.info.get("transparency"), int):
        levels = np.where(values == transparent, np.uint8(255), levels)
    return Image.fromarray(levels).convert("RGB")


def _decode(image: Image.Image, name: str) -> None:
    deep = image.mode in ("RGB", "RGBA", "LA") and ";16" in str(getattr(image, "tile", ""))
    with _named_errors(name):
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # see `open_image`
            path, image.filename = image.filename, ""
            image.load()
            image.filename = path
        else:
            image.load()
        if deep and np.asarray(image.convert("RGB")).max(initial=0) < 2**4:
            warnings.warn(
                f"{name} has 16 bits per channel, of which Pillow reads the upper 8, and these are nearly black: save "
                "it with 8 bits per channel.",
                stacklevel=2,
            )


def _data(url: str) -> bytes:
    header, comma, content = url.partition(",")
    try:
        if not comma:
            raise ValueError("it has no comma")
        if header.lower().endswith(";base64"):
            return base64.b64decode("".join(unquote_to_bytes(content).decode("ascii").split()), validate=True)
        return unquote_to_bytes(content)
    except ValueError as error:
        raise ValueError(f"{_name(url)} cannot be decoded: {error}.") from error


def _download(url: str) -> bytes:
    """The content of an `http(s)://` URL, within the limits of size, time and number of redirections."""
    found: list[bytes | Exception] = []
    stop = time.monotonic() + MAX_SECONDS

    def fetch() -> None:
        try:
            found.append(_fetched(url, stop))
        except Exception as error:
            found.append(error)

    # Neither a slow name server nor slow headers end by the time-out of a socket.
    thread = Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    if not found:
        raise ValueError(f"{url} took more than {MAX_SECONDS:g} seconds.")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _fetched(url: str, stop: float) -> bytes:
    opener = OpenerDirector()  # without the handlers of other schemes, and without unlimited redirections
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    address = url
    try:
        for _ in range(MAX_REDIRECTS + 1):
            request = Request(_quoted(address), headers={"User-Agent": "pm-vit", "Accept": "image/*"})
            with opener.open(request, timeout=MAX_SILENCE) as answer:
                if 300 <= answer.status < 400 and answer.headers["Location"]:
                    address = urljoin(address, answer.headers["Location"])
                    if urlsplit(address).scheme not in ("http", "https"):
                        raise ValueError(f"{url} is redirected to {address}, which is not http:// or https://.")
                    continue
                if answer.status != 200:
                    raise ValueError(f"{answer.status} {answer.reason}: {url}")
                return _content(answer, url, stop)
    except (OSError, HTTPException) as error:
        raise ValueError(f"{url} cannot be read: {getattr(error, 'reason', None) or error}.") from error
    raise ValueError(f"{url} is redirected more than {MAX_REDIRECTS} times.")


def _content(answer: Any, url: str, stop: float) -> bytes:
    content = bytearray()
    while part := answer.read1(2**16):
        content += part
        if len(content) > MAX_DOWNLOAD:
            raise ValueError(f"{url} has more than {MAX_DOWNLOAD:,} bytes.")
        if time.monotonic() > stop:
            raise ValueError(f"{url} took more than {MAX_SECONDS:g} seconds.")
    if answer.length:
        raise ValueError(f"{url} ended {answer.length:,} bytes early.")
    return bytes(content)


def _quoted(url: str) -> str:
    parts = urlsplit(url)
    path, query = (quote(part, safe="%/:=&?~#+!$,;'@()*[]") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, parts.netloc, path or "/", query, ""))


def _name(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return "the data: URL" if str(source)[:5].lower() == "data:" else str(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"the image of {len(source):,} bytes"
    return str(getattr(source, "name", "the file object"))


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Errors of Pillow with the name of the file."""
    try:
        yield
    except UnidentifiedImageError as error:  # its message has the address of an object
        raise ValueError(f"{name} is not an image, or a corrupt one: cannot identify image file.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large to be opened: {_reason(error)}.") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders can raise any error on malformed bytes
        raise ValueError(f"{name} is not an image, or a corrupt one: {_reason(error)}.") from error


__all__ = ["MAX_PIXELS", "Source", "Window", "is_single", "load_image", "load_images", "open_image", "to_levels"]
