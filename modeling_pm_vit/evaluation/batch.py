"""Images of a dataset as the metrics take them: all at the model's input size, with their masks and boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from ..data.classes import ClassMap, model_class
from ..data.columns import Columns
from ..data.masks import MaskEncoding, decode_mask
from ..image_processing_pm_vit import PMViTImageProcessor, load_image
from ..metrics.semantic_segmentation import IGNORE as IGNORE_ID


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
    encoding: MaskEncoding,
    columns: Columns,
    class_map: ClassMap | None = None,
) -> Batch:
    """
    Args:
        rows: of a dataset, each column a list.
        processor: with a height and a width for `size` and no centre crop: images are resized, not cropped.
        encoding: of the mask column (see [`decode_mask`]). With `"box"` the region is known, but not the mask.
        columns: names.
        class_map: from the dataset's classes to the model's; `None` if they are the same.

    Raises:
        ValueError: if an image cannot be read or a mask is not of its image's size; names the row's image where it can.
    """
    size = (processor.size["height"], processor.size["width"])
    own_labels = rows[columns.label]
    labels = np.array([model_class(label, class_map) for label in own_labels], dtype=int)
    images = [load_image(image) for image in rows[columns.image]]
    pixel_values = processor(images, return_tensors="pt")["pixel_values"]
    n = len(labels)
    masks, ignore = np.zeros((n, *size), bool), np.zeros((n, *size), bool)
    has_mask = np.zeros(n, bool)
    classes, planes, boxes, id_maps = [], [], [], []
    values = _known(rows[columns.mask]) if columns.mask else [None] * n
    box_values = _known(rows[columns.boxes]) if columns.boxes else [None] * n
    known = zip(images, own_labels, values, box_values, strict=True)
    for row, (image, own_label, value, box_value) in enumerate(known):
        shown, own_size, unknown = decode_mask(value, encoding, own_label, (image.height, image.width), class_map)
        resized = np.array([_resized(plane, size) for plane in own_size], bool).reshape(len(shown), *size)
        classes.append(shown)
        planes.append(resized)
        if unknown is not None:
            ignore[row] = _resized(unknown, size)
        if labels[row] in shown:
            masks[row] = resized[shown.index(labels[row])]
            has_mask[row] = encoding != "box" and bool(masks[row].any())
        id_maps.append(_id_map(value, shown, own_size, unknown) if encoding in ("class_id", "imagenet_s") else None)
        if box_value is None and encoding == "box":
            box_value = value
        if box_value is not None:
            boxes.append(scaled_boxes(box_value, (image.height, image.width), size))
            if not masks[row].any():
                masks[row] = _drawn(boxes[row], size)
        else:
            boxes.append(part_boxes(masks[row]))
    return Batch(images, pixel_values, labels, classes, planes, masks, has_mask, ignore, boxes, id_maps)


def _known(values: Sequence[Any]) -> list[Any]:
    """The values, with None for an empty text or list too: nothing is known."""
    return [None if isinstance(value, (str, list, tuple)) and not len(value) else value for value in values]


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
    return np.asarray(Image.fromarray(plane.astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)) > 0


def _drawn(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def _id_map(value: Any, classes: list[int], planes: np.ndarray, unknown: np.ndarray | None) -> np.ndarray | None:
    if value is None:
        return None
    ids = np.zeros(planes.shape[1:], int)
    for label, plane in zip(classes, planes, strict=True):
        ids[plane > 0] = label + 1
    if unknown is not None:
        ids[unknown] = IGNORE_ID
    return ids
