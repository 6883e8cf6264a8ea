"""What a dataset holds, told before it is used: images and masks of each class, and the values of a few masks."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from ..utils.errors import InputError
from ..utils.tables import markdown_table
from .classes import ClassMap, model_class
from .columns import Columns
from .decoding import BAD_ROW_ERRORS, decode_value
from .label_columns import shown_in
from .mask_values import distinct_values, has_grey_levels, is_jpeg, mask_pixels
from .masks import EMPTY_MASK, MaskFormat, decode_mask
from .multi_label import LabelVectors
from .rows import Rows, place_of

_TABLE = 20  # classes that are listed one by one
_LOOKED_AT = 16  # masks
_LISTED = 10  # values or names


def class_overview(rows: Rows, columns: Columns, classes: ClassMap, names: Sequence[str]) -> str:
    """
    The number of images and of masks of each class: a table, or the range where there are more than 20 classes; the
    classes without an image, and files that are listed with two labels. No image is read.

    Args:
        rows: of a dataset.
        columns: names.
        classes: of the dataset, and the places of each among `names`.
        names: all classes.
    """
    own = shown_in(rows, columns.label)
    shown = [None if found is None else [classes.ids[label] for label in found] for found in own]
    counts = {"images": _count(shown, len(names))}
    if columns.mask is not None and columns.mask in rows.features:
        counts["masks"] = _count([shown[row] for row in rows.rows_with(columns.mask).tolist()], len(names))
    lines = []
    if len(names) <= _TABLE:
        table = [("class", *counts), *zip(names, *(map(str, found) for found in counts.values()), strict=True)]
        lines.append(markdown_table(table).rstrip())
    else:
        ranges = [f"{what}: {c.min()} to {c.max()}, median {np.median(c):g}" for what, c in counts.items()]
        lines.append(f"{len(names)} classes, of each {'; '.join(ranges)}")
    empty = [name for name, count in zip(names, counts["images"], strict=True) if not count]
    if empty:
        lines.append(f"without an image in {rows.name}: {listed(empty)}")
    for what, number in (("show none of the classes", shown.count([])), ("have no label", shown.count(None))):
        if number:
            lines.append(f"{number} images of {rows.name} {what}")
    several = _with_several_labels(rows, columns, shown)
    if several:
        lines.append(f"files of {rows.name} that are listed more than once, with other classes: {listed(several)}")
    return "\n".join(lines)


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
    if rows.blocks is not None and len(found):
        ends = np.cumsum(rows.blocks)
        found = found[found < ends[np.searchsorted(ends, found[0], "right")]]
    vectors = LabelVectors.of_column(rows.features, columns.label, classes, len(classes.names))
    looked = found[np.linspace(0, len(found) - 1, min(_LOOKED_AT, len(found))).round().astype(int)]
    values: set[float] = set()
    notes, grey, elsewhere = [], 0, 0
    for index in looked.tolist():
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


def _count(shown: Sequence[list[int] | None], classes: int) -> np.ndarray:
    return np.bincount(np.array([label for labels in shown for label in labels or ()], int), minlength=classes)


def _with_several_labels(rows: Rows, columns: Columns, shown: Sequence[list[int] | None]) -> list[str]:
    """Names of image files that come more than once, with different labels; none where images are embedded."""
    if rows.blocks is not None or not _is_path(rows[0].get(columns.image)):
        return []
    first: dict[str, list[int] | None] = {}
    pairs = zip(rows.values(columns.image), shown, strict=True)
    files = [(value["path"], labels) for value, labels in pairs if _is_path(value)]
    return sorted({PurePath(file).name for file, labels in files if first.setdefault(file, labels) != labels})


def _is_path(value: Any) -> bool:
    return isinstance(value, dict) and value.get("bytes") is None and isinstance(value.get("path"), str)
