"""Several labels per image, or none: their vectors, and masks that have to agree with them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..explanation_pm_vit import IGNORE
from ..utils.errors import InputError
from .classes import ClassMap, model_class
from .label_columns import LabelKind, label_kind
from .masks import EMPTY_MASK, DecodedMask, MaskEncoding, MaskFormat, decode_mask, is_missing


@dataclass(frozen=True)
class LabelVectors:
    """
    Makes the labels of a model that can find several classes in an image, or none.

    Args:
        kind: of the label column.
        classes: of the dataset and of the model.
        num_labels: number of the model's classes. Those that the dataset does not have are unknown.
    """

    kind: LabelKind
    classes: ClassMap
    num_labels: int

    @classmethod
    def of_column(
        cls, features: Mapping[str, Any], column: str, classes: ClassMap, num_labels: int
    ) -> "LabelVectors | None":
        """Of a label column; `None` if each image has one class."""
        kind = label_kind(features.get(column))
        return None if kind == "class" else cls(kind, classes, num_labels)

    def of(self, value: Any) -> torch.Tensor:
        """
        From a value of the label column to `(num_labels,)`: 1 present, 0 absent, -100 unknown.

        Raises:
            InputError: if the value is none of the column's kind.
        """
        labels = torch.full((self.num_labels,), float(IGNORE))
        if value is None and self.kind != "only_class":
            return labels
        own = torch.zeros(len(self.classes.ids))
        if self.kind == "multi_hot":
            if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != len(own):
                raise InputError(f"the label must be a list of {len(own)} numbers, one for each class, got {value!r}.")
            own = torch.tensor([_number(v) for v in value])
        elif self.kind == "flag":
            own[0] = float(value)
        elif value is not None:
            for index in value if self.kind == "list" else [value]:
                labels[model_class(index, self.classes)] = 1
            own = labels[list(self.classes.ids)].clamp(min=0)
        labels[list(self.classes.ids)] = own
        return labels

    def decode_mask(
        self, value: Any, masks: MaskFormat | MaskEncoding, labels: torch.Tensor, size: tuple[int, int]
    ) -> DecodedMask:
        """
        As [`decode_mask`], but of an image with several labels or none. An empty mask says that the classes of the
        image are nowhere.

        Args:
            value, masks, size: as there.
            labels: of the image, as `of` returns them.

        Raises:
            InputError: also if the mask shows a class that the image does not have, or does not say which of several
                classes it shows.
        """
        present = [number for number, index in enumerate(self.classes.ids) if labels[index] > 0]
        if is_missing(value):
            return decode_mask(value, masks, 0, size)
        encoding, is_empty = MaskFormat.of(masks).encoding, isinstance(value, str) and value == EMPTY_MASK
        names_classes = isinstance(value[0], dict) if encoding == "polygon" else encoding not in ("binary", "box")
        if not (names_classes or is_empty) and len(present) > 1:
            raise InputError(
                f"a mask that does not name its class (--mask_encoding {encoding}) needs one label, got "
                f"{len(present)}: use class_id, or polygons with a category_id each."
            )
        decoded = decode_mask(value, masks, present[0] if present else 0, size, self.classes)
        if decoded.classes and not decoded.planes.any():
            nowhere = [self.classes.ids[number] for number in present or [0]]
            return decoded._replace(classes=nowhere, planes=np.zeros((len(nowhere), *size), np.uint8))
        for shown, plane in zip(decoded.classes, decoded.planes, strict=True):
            if labels[shown] == 0 and plane.any():
                name = self.classes.names[self.classes.ids.index(shown)]
                raise InputError(f"the mask shows {name!r}, which is not among the labels of the image.")
        return decoded


def _number(value: Any) -> float:
    """Of one class in a multi-hot vector."""
    if value is None or value == IGNORE or math.isnan(value):
        return float(IGNORE)
    if not 0 <= value <= 1:
        raise InputError(f"the label of a class must be 1 (present), 0 (absent) or -100 (unknown), got {value!r}.")
    return float(value)
