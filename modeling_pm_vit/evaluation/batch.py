"""Images of a dataset as the metrics take them: all at the model's input size, with their masks and boxes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from ..data.classes import ClassMap, model_class
from ..data.columns import Columns
from ..data.decoding import BAD_ROW_ERRORS, decode_value
from ..data.masks import DecodedMask, MaskEncoding, MaskFormat, decode_mask, is_missing
from ..data.rows import Rows, place_of
from ..image_loading_pm_vit import load_image
from ..image_processing_pm_vit import PMViTImageProcessor
from ..metrics.semantic_segmentation import IGNORE as IGNORE_ID
from ..utils.errors import InputError


@dataclass
class Batch:
    """
    n images, each resized as a whole to the model's input size, `(height, width)`.

    Args:
        images: as loaded, at their own sizes.
        pixel_values: `(n, channels, height, width)`, normalised.
        labels: `(n,)` class indices of the model, as all classes here.
        classes, planes: for each image the K classes that its mask shows, and where: boolean `(K, height, width)`.
        masks: `(n, height, width)` boolean: where the image's own class is.
        has_mask: `(n,)` boolean: this is known to the pixel, and not empty.
        has_empty_mask: `(n,)` boolean: this is known, and it is nowhere.
        ignore: `(n, height, width)` boolean: where the truth is unknown.
        boxes: for each image the boxes `(m, 4)` of its own class, `x0, y0, x1, y1` inclusive; m = 0 where unknown.
        id_maps: for each image its map of class index + 1 at its own size (`IGNORE_ID`: unknown), or `None`.
    """

    images: list[Image.Image]
    pixel_values: torch.Tensor
    labels: np.ndarray
    classes: list[list[int]]
    planes: list[np.ndarray]
    masks: np.ndarray
    has_mask: np.ndarray
    has_empty_mask: np.ndarray
    ignore: np.ndarray
    boxes: list[np.ndarray]
    id_maps: list[np.ndarray | None]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_region(self) -> np.ndarray:
        """`(n,)`: a mask or a box says where the image's own class is."""
        return np.asarray(self.masks.any((1, 2)))


def read_batch(
    rows: Mapping[str, Sequence[Any]],
    processor: PMViTImageProcessor,
    masks: MaskFormat | MaskEncoding,
    columns: Columns,
    class_map: ClassMap | None = None,
    places: Sequence[str] | None = None,
) -> Batch:
    """
    Args:
        rows: of a dataset, each column a list; images and masks may be encoded.
        processor: with a height and a width for `size` and no centre crop: images are resized, not cropped.
        masks: how the mask column is read. With boxes the region is known, but not the mask.
        columns: names.
        class_map: from the dataset's classes to the model's; `None` if they are the same.
        places: where each row is, for messages.

    Raises:
        InputError: if an image or a mask cannot be read, or a label is no class of the dataset; names the row.
    """
    form = MaskFormat.of(masks)
    size = (processor.size["height"], processor.size["width"])
    n = len(rows[columns.label])
    values = _known(rows[columns.mask]) if columns.mask else [None] * n
    box_values = _known(rows[columns.boxes]) if columns.boxes else [None] * n
    known = zip(rows[columns.image], rows[columns.label], values, strict=True)
    read = []
    for row, (image_value, label, value) in enumerate(known):
        try:
            image = load_image(decode_value(image_value))
            decoded = decode_mask(value, form, label, (image.height, image.width), class_map)
            read.append((image, model_class(label, class_map), decoded))
        except BAD_ROW_ERRORS as error:
            raise InputError(f"{places[row] if places else f'row {row}'}: {error}") from error
    images, labels = [image for image, _, _ in read], np.array([label for _, label, _ in read], int)
    pixel_values = processor(images, return_tensors="pt")["pixel_values"]
    own, ignore = np.zeros((n, *size), bool), np.zeros((n, *size), bool)
    has_mask, has_empty_mask = np.zeros(n, bool), np.zeros(n, bool)
    classes, planes, boxes, id_maps = [], [], [], []
    for row, (image, label, decoded) in enumerate(read):
        shown, box_value = decoded.classes, box_values[row]
        resized = np.array([_resized(plane, size) for plane in decoded.planes], bool).reshape(len(shown), *size)
        classes.append(shown)
        planes.append(resized)
        if decoded.ignored is not None:
            ignore[row] = _resized(decoded.ignored, size)
        if label in shown:
            own[row] = resized[shown.index(label)]
            has_mask[row] = form.encoding != "box" and bool(own[row].any())
            has_empty_mask[row] = box_value is None and not decoded.planes[shown.index(label)].any()
        id_maps.append(_id_map(decoded) if form.encoding in ("class_id", "imagenet_s") and shown else None)
        if box_value is None and form.encoding == "box" and not isinstance(values[row], str):
            box_value = values[row]
        if box_value is not None:
            boxes.append(scaled_boxes(box_value, (image.height, image.width), size))
            if not own[row].any():
                own[row] = _drawn(boxes[row], size)
        else:
            boxes.append(part_boxes(own[row]))
    return Batch(images, pixel_values, labels, classes, planes, own, has_mask, has_empty_mask, ignore, boxes, id_maps)


def read_batches(
    processor: PMViTImageProcessor,
    rows: Rows,
    masks: MaskFormat,
    columns: Columns,
    class_map: ClassMap,
    indices: Sequence[int] | np.ndarray,
    batch_size: int,
) -> Iterator[Batch]:
    """
    The images of a dataset, `batch_size` at a time.

    Args:
        processor, masks, columns, class_map: as for [`read_batch`].
        rows: of the dataset.
        indices: of the rows, in the order in which they are read.
    """
    used = (columns.image, columns.label, columns.mask, columns.boxes)
    for start in range(0, len(indices), batch_size):
        numbers = [int(index) for index in indices[start : start + batch_size]]
        read = [rows[number] for number in numbers]
        places = [place_of(rows, *pair, columns.image) for pair in zip(numbers, read, strict=True)]
        table = {column: [row.get(column) for row in read] for column in used if column is not None}
        yield read_batch(table, processor, masks, columns, class_map, places)


def _known(values: Sequence[Any]) -> list[Any]:
    """The decoded values, None where nothing is known."""
    return [None if is_missing(value) else decode_value(value) for value in values]


def scaled_boxes(boxes: Any, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """
    Boxes in pixels of an image of `size` (height, width) as whole pixels of `new_size`, ends inclusive: `(m, 4)`.

    Multiplied before it is divided, as Choe et al. do: 55 * 224 / 110 is 112, but 55 * (224 / 110) a little less.
    """
    old, new = (np.array([width, height] * 2, float) for height, width in (size, new_size))
    scaled = np.asarray(boxes, float).reshape(-1, 4) * new / old
    return np.clip(scaled.astype(int), 0, new.astype(int) - 1)


def part_boxes(mask: np.ndarray) -> np.ndarray:
    """The boxes, ends inclusive, around the connected parts (8 neighbours) of `(height, width)`: `(m, 4)`."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    x, y, width, height = stats[1:, :4].T  # the first part is the background
    return np.stack([x, y, x + width - 1, y + height - 1], -1).astype(int)


def _resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The nearest pixels; of an object so small that it has none of them, the pixels that it covers most."""
    shape = (size[1], size[0])
    nearest = np.asarray(Image.fromarray(plane.astype(np.uint8)).resize(shape, Image.Resampling.NEAREST)) > 0
    if nearest.any() or not plane.any():
        return nearest
    covered = np.asarray(Image.fromarray((plane > 0).astype(np.float32)).resize(shape, Image.Resampling.BOX))
    return covered == covered.max()


def _drawn(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def _id_map(decoded: DecodedMask) -> np.ndarray:
    ids = np.zeros(decoded.planes.shape[1:], int)
    for label, plane in zip(decoded.classes, decoded.planes, strict=True):
        ids[plane > 0] = label + 1
    if decoded.ignored is not None:
        ids[decoded.ignored] = IGNORE_ID
    return ids
