"""What a label column holds: one class per image, several, or whether a single class is present."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from datasets import ClassLabel, LargeList, List, Value

from ..explanation_pm_vit import IGNORE
from ..utils.errors import InputError
from .classes import class_label, class_names
from .rows import Rows

LabelKind = Literal["class", "list", "multi_hot", "flag", "only_class"]
_HOW_TO_SAY_ABSENT = {
    "class": "",
    "list": "an empty list as label",
    "multi_hot": "0 for the class",
    "flag": "the label false",
    "only_class": "the label null",
}


def label_kind(feature: Any) -> LabelKind:
    """
    How a label column says which classes an image shows.

    Returns:
        `"class"`: it shows one (a `ClassLabel`). `"list"`: a list of classes; empty: none of them, null: unknown.
        `"multi_hot"`: a list with a number for each class (a list of fixed length), 1 for present, 0 for absent, -100,
        NaN or null for unknown. `"flag"`: true if it shows the only class, false if not, null: unknown.
        `"only_class"`: a `ClassLabel` of one class; null: the class is absent.
    """
    if is_list(feature):
        return "list" if isinstance(feature.feature, ClassLabel) else "multi_hot"
    if isinstance(feature, Value) and feature.dtype == "bool":
        return "flag"
    return "only_class" if isinstance(feature, ClassLabel) and feature.num_classes == 1 else "class"


def label_names(features: Mapping[str, Any], column: str) -> list[str]:
    """
    The class names of a label column of any kind. Those of a multi-hot column are its numbers, and a flag has the name
    of its column.

    Raises:
        InputError: if there is no such column, or it holds no classes.
    """
    feature = features.get(column)
    kind = label_kind(feature)
    if kind == "list":
        return list(feature.feature.names)  # type: ignore[union-attr] # a list of `ClassLabel`
    if kind == "multi_hot":
        return [str(number) for number in range(getattr(feature, "length", -1))]
    return [column] if kind == "flag" else class_names(features, column)


def is_list(feature: Any) -> bool:
    """Whether a column holds lists."""
    return isinstance(feature, (List, LargeList))


def has_classes(feature: Any) -> bool:
    """Whether the type of a label column says what its classes are."""
    kind = label_kind(feature)
    if kind == "multi_hot":
        return getattr(feature, "length", -1) > 0
    return kind in ("list", "flag") or isinstance(feature, ClassLabel)


def typed_lists(values: Iterable[Sequence[Any] | None], column: str, source: str) -> List:
    """
    The type of a label column of lists whose type does not name classes: lists of texts hold class names; lists of
    integers class indices; lists of floats or booleans, and of integers 0 and 1 that repeat in a list, are multi-hot.

    Args:
        values: of all rows.
        column, source: names, for messages.

    Returns:
        `List(ClassLabel(...))`, or for multi-hot vectors a list of float32 of fixed length.

    Raises:
        InputError: if the lists hold none of these, no list holds a value, or multi-hot vectors differ in length.

    Example:
        >>> typed_lists([["tree", "car"], [], None], "label", "photos")
        List(ClassLabel(names=['car', 'tree']))
    """
    where = f"the label column {column!r} of {source}"
    rows = [list(value) for value in values if value is not None]
    for row in rows:
        is_text = [isinstance(label, str) for label in row]
        if not all(is_text) and not all(label is None or isinstance(label, (bool, int, float)) for label in row):
            raise InputError(f"{where} must hold lists of class names, of class indices or of 0 and 1, got {row!r}.")
    labels = {label for row in rows for label in row}
    if not labels - {None}:
        raise InputError(f"{where} holds lists, but none has a label in it.")
    lengths = {len(row) for row in rows}
    if all(isinstance(label, int) and not isinstance(label, bool) for label in labels):
        is_multi_hot = len(lengths) == 1 and labels <= {0, 1, IGNORE} and any(len(set(row)) < len(row) for row in rows)
        if not is_multi_hot and lengths == {2} and labels == {0, 1}:
            raise InputError(
                f"{where} holds lists of 0 and 1 that could be indices of classes, or one number for each of two "
                "classes: write the latter as true and false."
            )
    else:
        is_multi_hot = not any(isinstance(label, str) for label in labels)
    if not is_multi_hot:
        return List(class_label(labels))
    if len(lengths) > 1:
        raise InputError(
            f"{where} holds lists of {min(lengths)} to {max(lengths)} numbers; a list with a number for each class has "
            "the same length in all rows."
        )
    return List(Value("float32"), length=lengths.pop())


def shown_classes(value: Any, kind: LabelKind) -> list[int] | None:
    """The classes that a label says are in the image, as the dataset numbers them; `None` if it says nothing."""
    if kind == "only_class":
        return [] if value is None else [value]
    if value is None:
        return None
    if kind == "flag":
        return [0] if value else []
    if kind == "multi_hot":
        known = not all(label is None or label == IGNORE or math.isnan(label) for label in value)
        return [number for number, label in enumerate(value) if label == 1] if known else None
    return list(value) if kind == "list" else [value]


def shown_in(rows: Rows, column: str) -> list[list[int] | None]:
    """[`shown_classes`] of all rows. No other column is read."""
    kind = label_kind(rows.features.get(column))
    return [shown_classes(value, kind) for value in rows.values(column)]


def require_absent_images(rows: Rows, column: str) -> None:
    """
    Raises:
        InputError: if the images of a dataset show one class only, so that nothing distinguishes it.
    """
    kind, names = label_kind(rows.features.get(column)), label_names(rows.features, column)
    if kind == "class" or len(names) > 1 or any(classes == [] for classes in shown_in(rows, column)):
        return
    raise InputError(
        f"{rows.name} has one class, {names[0]!r}, and no image without it, so there is nothing to tell it from: add "
        f"images with {_HOW_TO_SAY_ABSENT[kind]} (in metadata.jsonl for a folder), or images of a second class."
    )
