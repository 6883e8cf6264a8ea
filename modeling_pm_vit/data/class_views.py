"""Views of rows whose classes have other names, of which some have no object, or without some of the classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, List

from ..utils.errors import InputError
from .classes import match_classes, require_distinct
from .columns import Columns
from .label_columns import is_list, label_kind, label_names, shown_classes
from .masks import EMPTY_MASK, MaskEncoding, is_missing
from .rows import Rows, SelectedRows


def with_class_names(rows: Rows, label_column: str | None, names: Sequence[str]) -> Rows:
    """
    The rows with these class names, if there are any. Multi-hot labels stay as they are: their places are the names.

    Raises:
        InputError: if the rows have a class that is none of the names, or a label column that has no names; or, without
            names, if the names of two of their classes differ in case or blanks only.
    """
    kind = None if label_column is None else label_kind(rows.features.get(label_column))
    if label_column is None or kind == "multi_hot":
        return rows
    if not names:
        require_distinct(label_names(rows.features, label_column), rows.name)
        return rows
    if kind == "flag":
        raise InputError(f"--class_names: the labels of {rows.name} are true and false, and have no names.")
    return NamedClasses(rows, label_column, names)


def with_empty_classes(rows: Rows, columns: Columns, names: Sequence[str]) -> Rows:
    """
    The rows, of which those of these classes have an empty mask where they have none.

    Raises:
        InputError: if one of the names is no class of the rows, or there are names and no mask column.
    """
    if not names:
        return rows
    if columns.mask is None:
        raise InputError("--empty_classes needs a --mask_column; the dataset need not have it.")
    return EmptyClasses(rows, columns.mask, columns.label, names)


def without_classes(rows: Rows, columns: Columns, names: Sequence[str], encoding: MaskEncoding) -> Rows:
    """
    The rows without those of these classes, which are no classes any more.

    Raises:
        InputError: if one of the names is no class of the rows, nothing is left, images have several labels, or masks
            number the classes.
    """
    if not names:
        return rows
    if label_kind(rows.features.get(columns.label)) != "class":
        raise InputError(f"--leave_out_classes needs one class per image, and {rows.name} has other labels.")
    if columns.mask is not None and encoding in ("class_id", "imagenet_s"):
        raise InputError(
            f"--leave_out_classes: masks with the encoding {encoding} number all classes; it needs masks of one class "
            "(binary, box or polygon), or --mask_column none."
        )
    return RemainingClasses(rows, columns.label, names)


def rows_of_classes(rows: Rows, label_column: str, names: Sequence[str]) -> Rows:
    """
    The rows of these classes only.

    Raises:
        InputError: if one of the names is no class of the rows.
    """
    chosen = _class_numbers(rows, label_column, names, "--leave_out_classes")
    return SelectedRows(rows, np.flatnonzero([label in chosen for label in rows.values(label_column)]))


class NamedClasses:
    """
    The same rows, whose label column has other class names, or the same in another order.

    Args:
        label_column: of classes, or of lists of classes.
        names: among them those of the rows, which go by name; numbers are places in this list.

    Raises:
        InputError: if a class of the rows is none of the names.
    """

    def __init__(self, rows: Rows, label_column: str, names: Sequence[str]):
        own = label_names(rows.features, label_column)
        self.classes = match_classes(own, names, rows.name, " Name all classes.", "--class_names")
        self.rows, self.label_column, self.name, self.blocks = rows, label_column, rows.name, rows.blocks
        feature = ClassLabel(names=list(names))
        is_of_lists = is_list(rows.features[label_column])
        self.features = {**rows.features, label_column: List(feature) if is_of_lists else feature}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        return row | {self.label_column: self._named(row.get(self.label_column))}

    def rows_with(self, column: str) -> np.ndarray:
        return self.rows.rows_with(column)

    def values(self, column: str) -> Sequence[Any]:
        values = self.rows.values(column)
        return [self._named(value) for value in values] if column == self.label_column else values

    def place(self, index: int) -> str:
        return self.rows.place(index)

    def _named(self, label: Any) -> Any:
        if isinstance(label, (list, tuple)):
            return [self._named(one) for one in label]
        return self.classes.ids[label] if isinstance(label, int) and 0 <= label < len(self.classes.ids) else label


class RemainingClasses(SelectedRows):
    """
    The rows of all classes but some, which are numbered anew. Rows without a class stay.

    Args:
        label_column: of one class per image.
        names: of the classes that are left out.

    Raises:
        InputError: if one of the names is no class of the rows, or fewer than two classes are left.
    """

    def __init__(self, rows: Rows, label_column: str, names: Sequence[str]):
        left_out = _class_numbers(rows, label_column, names, "--leave_out_classes")
        known = label_names(rows.features, label_column)
        kept = [number for number in range(len(known)) if number not in left_out]
        if len(kept) < 2:
            raise InputError(f"--leave_out_classes leaves {len(kept)} of the {len(known)} classes of {rows.name}.")
        super().__init__(rows, np.flatnonzero([label not in left_out for label in rows.values(label_column)]))
        self.label_column, self._number = label_column, {old: new for new, old in enumerate(kept)}
        self.features = {**rows.features, label_column: ClassLabel(names=[known[number] for number in kept])}

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = super().__getitem__(index)
        return row | {self.label_column: self._renumbered(row[self.label_column])}

    def values(self, column: str) -> Sequence[Any]:
        values = super().values(column)
        return [self._renumbered(value) for value in values] if column == self.label_column else values

    def _renumbered(self, label: Any) -> Any:
        return self._number.get(label, label)


class EmptyClasses:
    """
    The same rows. Where a row that shows only classes without an object has no mask, it has an empty one: the mask
    column holds `EMPTY_MASK`.

    Args:
        mask_column, label_column: names; the rows may lack the mask column.
        names: of the classes.

    Raises:
        InputError: if one of the names is no class of the rows.
    """

    def __init__(self, rows: Rows, mask_column: str, label_column: str, names: Sequence[str]):
        self.rows, self.mask_column, self.label_column = rows, mask_column, label_column
        self.kind = label_kind(rows.features[label_column])
        self.labels = _class_numbers(rows, label_column, names, "--empty_classes")
        self.name, self.blocks = rows.name, rows.blocks
        self.features = {mask_column: None, **rows.features}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        is_empty = is_missing(row.get(self.mask_column)) and self._shows_nothing(row.get(self.label_column))
        return row | {self.mask_column: EMPTY_MASK} if is_empty else row

    def rows_with(self, column: str) -> np.ndarray:
        if column != self.mask_column:
            return self.rows.rows_with(column)
        own = self.rows.rows_with(column) if column in self.rows.features else np.array([], int)
        labels = self.rows.values(self.label_column)
        return np.union1d(own, np.flatnonzero([self._shows_nothing(label) for label in labels]))

    def values(self, column: str) -> Sequence[Any]:
        return self.rows.values(column)

    def place(self, index: int) -> str:
        return self.rows.place(index)

    def _shows_nothing(self, label: Any) -> bool:
        shown = shown_classes(label, self.kind)
        return bool(shown) and self.labels.issuperset(shown or ())


def _class_numbers(rows: Rows, label_column: str, names: Sequence[str], option: str) -> set[int]:
    known = label_names(rows.features, label_column)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"{option}: {rows.name} has no class {unknown[0]!r}; its classes are {', '.join(known)}.")
    return {known.index(name) for name in names}
