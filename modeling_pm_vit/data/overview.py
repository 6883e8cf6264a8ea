"""What a dataset holds, told before it is used: the values of a few masks. Of its classes: see `class_overview.py`."""

from collections.abc import Sequence

import numpy as np

from ..utils.errors import InputError
from .classes import ClassMap, model_class
from .columns import Columns
from .decoding import BAD_ROW_ERRORS, decode_value
from .mask_values import distinct_values, has_grey_levels, is_jpeg, mask_pixels
from .masks import EMPTY_MASK, MaskFormat, decode_mask
from .multi_label import LabelVectors
from .rows import Rows, place_of, rows_to_look_at

_LOOKED_AT = 16  # masks
_LISTED = 10  # values or names


def mask_overview(rows: Rows, columns: Columns, masks: MaskFormat, classes: ClassMap, skip: bool = False) -> list[str]:
    """
    Look at a few masks, spread over the rows, and say which values they hold and how they are read.

    Args:
        rows: of a dataset. Of a stream only one block of rows is read.
        columns: names.
        masks: how the masks are read.
        classes: of the dataset.
        skip: tell of a mask that cannot be used instead of raising.

    Raises:
        InputError: if one of the masks cannot be used; names its row.
    """
    if columns.mask is None or columns.mask not in rows.features or masks.encoding in ("box", "polygon"):
        return []
    found = rows.rows_with(columns.mask)
    looked = rows_to_look_at(rows, found, _LOOKED_AT)
    vectors = LabelVectors.of_column(rows.features, columns.label, classes, len(classes.names))
    values: set[float] = set()
    notes, grey, elsewhere = [], 0, 0
    for index in looked:
        row = rows[index]
        if row[columns.mask] == EMPTY_MASK:
            continue
        try:
            value, label = decode_value(row[columns.mask]), row[columns.label]
            pixels = np.asarray(value) if masks.encoding == "imagenet_s" else mask_pixels(value, masks.encoding)
            if vectors is None:
                shown, planes, _ = decode_mask(value, masks, label, pixels.shape[:2], classes)
                elsewhere += bool(planes.any()) and model_class(label, classes) not in shown
            else:
                vectors.decode_mask(value, masks, vectors.of(label), pixels.shape[:2])
        except BAD_ROW_ERRORS as error:
            message = f"{place_of(rows, index, row, columns.image)}: {error}"
            if not skip:
                raise InputError(message) from error
            notes.append(message)
            continue
        if masks.encoding != "imagenet_s":
            values |= set(distinct_values(pixels).tolist())
        if masks.encoding == "binary" and masks.foreground is None:
            grey += has_grey_levels(pixels, masks.ignore, is_jpeg(value))
    if values:
        told = "values " + listed([f"{v:g}" for v in sorted(values)])
        if len(values) > _LISTED:
            told = f"{len(values)} values from {min(values):g} to {max(values):g}"
        notes.insert(0, f"masks ({masks.encoding}): {told} ({len(looked)} of {len(found)} looked at)")
    if grey:
        notes.append(
            f"{grey} of {len(looked)} masks have grey levels, as JPEGs and enlarged masks do: the object is where they "
            "are 128 or more. Another limit: --mask_foreground 64-255."
        )
    if elsewhere:
        notes.append(
            f"{elsewhere} of {len(looked)} masks do not show the class of their image: do their numbers count the "
            f"{len(classes.names)} classes of {rows.name} in their order? If they count others, list these with "
            "--class_names."
        )
    return notes


def listed(names: Sequence[str]) -> str:
    """The first names, and that there are more."""
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
