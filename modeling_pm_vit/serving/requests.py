"""What a request may ask for: its form, its parameters, and the limits of its photographs."""

import base64
import io
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ..image_loading_pm_vit import load_image

MAX_BYTES = 10 * 2**20  # of an encoded photograph
MAX_PIXELS = 2**24  # of a decoded photograph: 48 MiB, and 64 MiB for a map of this size
MAX_SIDE = 2**14  # of a photograph, in pixels
MAX_ASPECT = 32  # the longer by the shorter side; a processor that keeps proportions makes the shorter as long as usual
MAX_BATCH = 32
MAX_CLASSES = 100
MAX_INSTANCES = 100  # of a class
MAX_WORK = 2**26  # pixels of all photographs of a request, times the classes: some seconds on one core
FORMATS = ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]
PARAMETERS = ("top_k", "labels", "threshold", "mask", "instances", "min_area")


@dataclass(frozen=True)
class Request:
    """
    A checked request.

    Args:
        items: its photographs, not decoded.
        single: whether one photograph was sent, not a list.
        classes: the number of the most probable classes, or the indices of classes.
        threshold: probability from which a pixel belongs to a class.
        mask: `"png"`, `"rle"` or `"none"`.
        instances: the largest number of connected parts of each mask.
        min_area: of these parts, in pixels.
    """

    items: list[Any]
    single: bool
    classes: int | list[int]
    threshold: float
    mask: str
    instances: int
    min_area: int

    def each(self, function: Callable[[Any], Any]) -> list[Any]:
        """Call a function with each photograph; a ValueError says which of a list it is about."""
        return [self._named(number, function, item) for number, item in enumerate(self.items)]

    def _named(self, number: int, function: Callable[[Any], Any], item: Any) -> Any:
        try:
            return function(item)
        except ValueError as error:
            if self.single:
                raise
            raise ValueError(f"inputs[{number}]: {error}") from error


def read_request(data: Any, labels: Sequence[str]) -> Request:
    """
    Check a request, without decoding its photographs: their sizes are read from their headers.

    Args:
        data: as the docstring of `handler.py` describes it.
        labels: names of the classes of the model.

    Raises:
        ValueError: if it cannot be answered, with the reason in one line.
    """
    inputs, parameters = _unpack(data)
    single = not isinstance(inputs, list)
    request = Request([inputs] if single else inputs, single, **_checked(parameters, labels))
    if not 1 <= len(request.items) <= MAX_BATCH:
        raise ValueError(f"expected 1 to {MAX_BATCH} photographs, got {len(request.items)}.")
    count = request.classes if isinstance(request.classes, int) else len(request.classes)
    pixels = sum(request.each(_pixels))
    if pixels * count > MAX_WORK:
        raise ValueError(
            f"{pixels:,} pixels times {count} classes are more than {MAX_WORK:,}: send smaller or fewer photographs, "
            "or ask for fewer classes."
        )
    return request


def decode(item: Any) -> Image.Image:
    """A photograph of a request, upright and in RGB. Raises ValueError if it is not an image, corrupt or too large."""
    return load_image(_file(item), MAX_PIXELS, FORMATS)


def _unpack(data: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(data, dict):
        return data, {}
    if "inputs" not in data or set(data) - {"inputs", "parameters"}:
        raise ValueError(f"a request has the keys 'inputs' and, optionally, 'parameters'; got {_shown(list(data))}.")
    parameters = data.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ValueError(f"'parameters' must be an object, got {type(parameters).__name__}.")
    return data["inputs"], {name: value for name, value in parameters.items() if value is not None}


def _checked(parameters: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """The parameters as the fields of a [`Request`]."""
    unknown = [name for name in parameters if name not in PARAMETERS]
    if unknown:
        raise ValueError(f"the parameters are {', '.join(PARAMETERS)}, got {_shown(unknown[0])}.")
    if "top_k" in parameters and "labels" in parameters:
        raise ValueError("give top_k or labels, not both.")
    most = min(MAX_CLASSES, len(labels))
    classes: int | list[int]
    if "labels" in parameters:
        names = parameters["labels"]
        names = names if isinstance(names, list) else [names]
        if not 1 <= len(names) <= most:
            raise ValueError(f"labels must be 1 to {most} names or indices of classes, got {len(names)}.")
        classes = [_class(name, labels) for name in names]
    else:
        classes = min(_integer(parameters, "top_k", default=1, least=1), most)
    threshold = _number(parameters.get("threshold", 0.5))
    if threshold is None or not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a number in 0 ... 1, got {_shown(parameters['threshold'])}.")
    mask = parameters.get("mask", "png")
    if mask not in ("png", "rle", "none"):
        raise ValueError(f"mask must be 'png', 'rle' or 'none', got {_shown(mask)}.")
    return {
        "classes": classes,
        "threshold": threshold,
        "mask": mask,
        "instances": min(_integer(parameters, "instances", default=0, least=0), MAX_INSTANCES),
        "min_area": _integer(parameters, "min_area", default=1, least=1),
    }


def _integer(parameters: dict[str, Any], name: str, default: int, least: int) -> int:
    number = _number(parameters.get(name, default))
    if type(number) is not int or number < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {_shown(parameters[name])}.")
    return number


def _class(name: Any, labels: Sequence[str]) -> int:
    if isinstance(name, str) and name in labels:
        return labels.index(name)
    index = _number(name)
    if type(index) is not int or not 0 <= index < len(labels):
        raise ValueError(
            f"there is no class {_shown(name)}; the indices are 0 ... {len(labels) - 1}, the first classes are: "
            f"{', '.join(labels[:10])}."
        )
    return index


def _number(value: Any) -> int | float | None:
    """A number, also if it is given as plain decimal text; else None."""
    if isinstance(value, str) and len(value) <= 20:
        text = value.strip()
        if re.fullmatch("[0-9]+", text):
            return int(text)
        return float(text) if re.fullmatch(r"[0-9]*\.[0-9]+", text) else None
    return value if type(value) in (int, float) else None


def _shown(value: Any) -> str:
    """Short, however long or deep the value is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a value of the type {type(value).__name__}"


def _file(item: Any) -> bytes | bytearray | Image.Image:
    """The bytes of a photograph's file, or the PIL image that was given."""
    if isinstance(item, str):
        if len(item) > MAX_BYTES * 7 / 5:  # base64 is longer by a third, and can have line breaks
            raise ValueError(f"the photograph is larger than {MAX_BYTES:,} bytes.")
        if item[:5].lower() == "data:":
            item = item.partition(",")[2]
        try:
            item = base64.b64decode("".join(item.split()), validate=True)
        except ValueError as error:
            raise ValueError(f"a photograph as text must be base64 of an image file: {error}.") from error
    if not isinstance(item, (bytes, bytearray, Image.Image)):
        raise ValueError(f"a photograph must be bytes or base64, got {type(item).__name__}.")
    if not isinstance(item, Image.Image) and len(item) > MAX_BYTES:
        raise ValueError(f"the photograph has {len(item):,} bytes, more than {MAX_BYTES:,}.")
    return item


def _pixels(item: Any) -> int:
    """The number of pixels of a photograph, from its header. Refuses sizes beyond the limits."""
    image = _file(item)
    try:
        if not isinstance(image, Image.Image):
            image = Image.open(io.BytesIO(image), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"the photograph has more than {MAX_PIXELS:,} pixels.") from error
    except Exception as error:  # decoders can raise any error on malformed bytes
        formats = ", ".join(FORMATS)
        raise ValueError(f"not an image, or a corrupt one, or not in a supported format ({formats}).") from error
    size = f"the photograph has {image.width} x {image.height} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{size}, more than {MAX_PIXELS:,}.")
    if max(image.size) > MAX_SIDE:
        raise ValueError(f"{size}; a side may have {MAX_SIDE:,}.")
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ValueError(f"{size}; one side may be {MAX_ASPECT} times as long as the other.")
    return image.width * image.height
