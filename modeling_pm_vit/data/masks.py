"""Decodes the masks, boxes and polygons of a dataset to one binary plane for each class."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ..utils.errors import InputError
from .classes import ClassMap, model_class
from .mask_values import Ranges, distinct_values, is_jpeg, mask_pixels, object_pixels, within

MaskEncoding = Literal["binary", "class_id", "imagenet_s", "box", "polygon"]
NUMBERS_CLASSES = ("class_id", "imagenet_s", "polygon")  # encodings whose masks hold numbers of the dataset's classes
CLASS_ID_IGNORE = 65535  # in a 16-bit map of class ids
IMAGENET_S_IGNORE = 1000  # Gao et al., *Large-scale unsupervised semantic segmentation*, TPAMI 2022
EMPTY_MASK = "empty mask"  # a value of the mask column: the class of the image is known to be nowhere
_SUPERSAMPLING = 4  # a pixel is inside a polygon if at least half of its area is


class DecodedMask(NamedTuple):
    """
    What a mask says about an image.

    Args:
        classes: the K classes, as the model numbers them. K is 0 if there is no mask.
        planes: `(K, height, width)`, 1 where the class is and 0 elsewhere.
        ignored: `(height, width)`, boolean: where nothing is known; `None` if there is no such pixel.
    """

    classes: list[int]
    planes: np.ndarray
    ignored: np.ndarray | None = None


@dataclass(frozen=True)
class MaskFormat:
    """
    How the mask column of a dataset is read. Training, evaluation and composed scenes read it alike.

    Args:
        encoding: `"binary"`: an image or array that shows where the image's class is (see [`object_pixels`]);
            `"class_id"`: an image or array of class index + 1, 0 where there is none, 65535 where it is unknown;
            `"imagenet_s"`: an RGB image of R + 256 G = class index + 1, 0 for none, 1000 where it is unknown; `"box"`:
            `[x0, y0, x1, y1]` in pixels around the image's class (or a list of such); `"polygon"`: polygons
            `[x0, y0, x1, y1, ...]` in pixels around the image's class, or COCO's annotations, `{"category_id": class
            index, "segmentation": polygons}` each. Class indices are those of the dataset.
        foreground: of binary masks, the values of the object; `None`: the only one besides 0.
        ignore: of mask images, further values that mark unknown pixels.

    Raises:
        InputError: if an option does not fit the encoding.
    """

    encoding: MaskEncoding = "binary"
    foreground: Ranges | None = None
    ignore: Ranges = ()

    @classmethod
    def of(cls, masks: "MaskFormat | MaskEncoding") -> "MaskFormat":
        """An encoding stands for its defaults."""
        return masks if isinstance(masks, MaskFormat) else cls(masks)

    def __post_init__(self) -> None:
        if self.foreground is not None and self.encoding != "binary":
            raise InputError(f"--mask_foreground is for binary masks; --mask_encoding is {self.encoding}.")
        if self.ignore and self.encoding in ("box", "polygon"):
            raise InputError(f"--mask_ignore is for mask images; --mask_encoding is {self.encoding}.")

    def with_encoding(self, encoding: MaskEncoding) -> "MaskFormat":
        """The same options, of those that fit another encoding."""
        foreground = self.foreground if encoding == "binary" else None
        return MaskFormat(encoding, foreground, () if encoding in ("box", "polygon") else self.ignore)

    @property
    def settings(self) -> dict[str, Any]:
        """For records: the encoding, and what differs from the defaults."""
        ranges = {"mask_foreground": self.foreground, "mask_ignore": self.ignore}
        return {"mask_encoding": self.encoding} | {name: value for name, value in ranges.items() if value}


def decode_mask(
    value: Any,
    form: MaskFormat | MaskEncoding,
    label: int,
    size: tuple[int, int],
    classes: ClassMap | None = None,
) -> DecodedMask:
    """
    Args:
        value: value of the mask column, decoded; `None`, or an empty text or list, if there is no mask.
        form: how masks are read; an encoding stands for its defaults.
        label: the image's class, as the dataset numbers it.
        size: (height, width) of the image.
        classes: of the dataset, and the model's number of each; `None` if any number is a class and the same in the
            model.

    Returns:
        [`DecodedMask`]. An empty mask gives the label with an empty plane.

    Raises:
        InputError: if the mask is not of the image's size, its values cannot be told apart, it shows a class that the
            dataset does not have, or a box or polygon does not have the expected coordinates.

    Example:
        >>> shown, planes, ignored = decode_mask([[1, 0, 3, 1]], "box", label=4, size=(2, 4))
        >>> shown, planes.tolist(), ignored
        ([4], [[[0, 1, 1, 0], [0, 0, 0, 0]]], None)
    """
    form = MaskFormat.of(form)
    if is_missing(value):
        return DecodedMask([], np.zeros((0, *size), np.uint8))
    if isinstance(value, str) and value == EMPTY_MASK:
        return DecodedMask([model_class(label, classes)], np.zeros((1, *size), np.uint8))
    ignored = None
    if form.encoding == "box":
        planes = {label: _draw_boxes(value, size)}
    elif form.encoding == "polygon":
        planes = _draw_annotations(value, label, size)
    else:
        planes, ignored = _image_planes(value, form, label, size)
    try:
        shown = [model_class(c, classes, "the mask's class") for c in planes]
    except InputError as error:
        raise InputError(f"{error} If the masks count other classes, list these with --class_names.") from error
    return DecodedMask(shown, np.stack(list(planes.values())).astype(np.uint8), ignored)


def is_missing(value: Any) -> bool:
    """Whether a value of a mask or box column says that nothing is known."""
    if isinstance(value, dict) and value:
        return set(value) <= {"bytes", "path"} and not any(value.values())
    return value is None or (isinstance(value, (str, list, tuple, dict)) and len(value) == 0)


def _image_planes(
    value: Any, form: MaskFormat, label: int, size: tuple[int, int]
) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """Of a mask image: where each class is, and where nothing is known."""
    jpeg = is_jpeg(value)
    if jpeg and form.encoding != "binary":
        raise InputError(
            f"a mask of class numbers (--mask_encoding {form.encoding}) is a JPEG, which changes the numbers: store "
            "it as a PNG."
        )
    if form.encoding == "imagenet_s":
        channels = np.asarray(value.convert("RGB") if isinstance(value, Image.Image) else value).astype(np.int32)
        pixels = channels[..., 0] + 256 * channels[..., 1] if channels.ndim == 3 else channels
    else:
        pixels = mask_pixels(value, form.encoding)
    if pixels.shape != size:
        raise InputError(
            f"a mask must be of its image's size (height, width) = {size}, got {pixels.shape} ({form.encoding} "
            "encoding)."
        )
    ignored = within(pixels, form.ignore)
    if form.encoding == "binary":
        planes = {label: object_pixels(pixels, form.foreground, form.ignore, jpeg) & ~ignored}
    else:
        ignored |= pixels == (IMAGENET_S_IGNORE if form.encoding == "imagenet_s" else CLASS_ID_IGNORE)
        shown = distinct_values(pixels[~ignored]).tolist()
        planes = {int(i) - 1: (pixels == i) & ~ignored for i in shown if i != 0} or {label: np.zeros(size, bool)}
    return planes, ignored if ignored.any() else None


def _draw_boxes(value: Any, size: tuple[int, int]) -> np.ndarray:
    boxes = np.asarray(value, dtype=float)
    if boxes.shape[-1:] != (4,) or boxes.ndim > 2:
        raise InputError(
            f"a box (--mask_encoding box) must be [x0, y0, x1, y1], or a list of such, got {_shortened(value)}."
        )
    plane = np.zeros(size, np.uint8)
    for x0, y0, x1, y1 in boxes.reshape(-1, 4):
        plane[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = 1
    return plane


def _draw_annotations(value: Any, label: int, size: tuple[int, int]) -> dict[int, np.ndarray]:
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise InputError(f"polygons (--mask_encoding polygon) must be a list of coordinates, got {_shortened(value)}.")
    if not isinstance(value[0], dict):
        return {label: _draw_polygons(value, size)}
    planes: dict[int, np.ndarray] = {}
    for annotation in value:
        plane = _draw_polygons(annotation["segmentation"], size)
        category = int(annotation["category_id"])
        planes[category] = planes.get(category, 0) | plane
    return planes


def _draw_polygons(polygons: Any, size: tuple[int, int]) -> np.ndarray:
    """The union of one or several polygons; coordinates are those of pixels' corners, as in COCO."""
    if not isinstance(polygons, (list, tuple, np.ndarray)):
        raise InputError(
            f"a polygon (--mask_encoding polygon) must be a list of coordinates, got {_shortened(polygons)}; "
            "run-length encoded masks have to be converted to images first."
        )
    if len(polygons) and np.isscalar(polygons[0]):
        polygons = [polygons]
    canvas = Image.new("1", (size[1] * _SUPERSAMPLING, size[0] * _SUPERSAMPLING))
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=float).ravel()
        if len(corners) < 6 or len(corners) % 2:
            raise InputError(f"a polygon must be [x0, y0, x1, y1, x2, y2, ...], got {_shortened(corners.tolist())}.")
        ImageDraw.Draw(canvas).polygon((corners * _SUPERSAMPLING - 0.5).tolist(), fill=1)
    subpixels = np.asarray(canvas).reshape(size[0], _SUPERSAMPLING, size[1], _SUPERSAMPLING)
    return (subpixels.mean((1, 3)) >= 0.5).astype(np.uint8)


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
