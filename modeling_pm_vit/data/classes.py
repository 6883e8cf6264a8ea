"""Classes of a label column: their names, and how the classes of one dataset map to those of another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets import ClassLabel, Value

from ..utils.errors import InputError

_MAX_CLASSES = 1_000_000  # a larger number in a label column is an identifier, not the index of a class


def class_label(values: Iterable[int | str | None]) -> ClassLabel:
    """
    The classes of a label column that is not a `ClassLabel` yet. Integers are class indices; distinct texts, sorted,
    are class names. `None` is no class.

    Raises:
        InputError: if there is no value at all, or an integer cannot be the index of a class.
    """
    distinct = {value for value in values if value is not None}
    if not distinct:
        raise InputError("no row has a value in the label column; it must hold class names or class indices.")
    indices = [value for value in distinct if isinstance(value, int)]
    if len(indices) < len(distinct):
        return ClassLabel(names=sorted(map(str, distinct)))
    if not 0 <= max(indices) < _MAX_CLASSES:
        raise InputError(
            f"the largest number of the label column is {max(indices)}; integers must be class indices, 0 to "
            f"{_MAX_CLASSES - 1}."
        )
    return ClassLabel(names=[str(i) for i in range(max(indices) + 1)])


def require_label_type(feature: Any, column: str, source: str) -> None:
    """
    Args:
        feature: of a label column, as `datasets` describes it.
        column: its name.
        source: name of the dataset, for the message.

    Raises:
        InputError: if the column holds neither classes, nor text, nor integers.
    """
    kind = feature.dtype if isinstance(feature, (Value, ClassLabel)) else ""
    if not kind.startswith(("int", "uint", "bool", "string", "large_string")):
        raise InputError(
            f"the label column {column!r} of {source} must hold a class name (text) or a class index (an integer) in "
            f"each row, got the type {feature}."
        )


def class_names(features: Mapping[str, Any], label_column: str = "label") -> list[str]:
    """
    The class names of a dataset's label column.

    Raises:
        InputError: if there is no such column, or it is not a `ClassLabel`.
    """
    if label_column not in features:
        raise InputError(f"there is no column {label_column!r}; the columns are {', '.join(features)}.")
    names: list[str] | None = getattr(features[label_column], "names", None)
    if not names:
        raise InputError(f"the column {label_column!r} must be a ClassLabel, got {features[label_column]}.")
    return names


def match_classes(names: Sequence[str], known: Sequence[str], source: str) -> list[int] | None:
    """
    Args:
        names: classes of a dataset.
        known: classes of the training set or of the model.
        source: name of the dataset, for the message.

    Returns:
        For each class of the dataset its index among the known ones; `None` if both lists are equal.

    Raises:
        InputError: if the dataset has a class that is not known.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"{source} has {len(unknown)} classes that the training set or the model does not have: "
            f"{', '.join(unknown[:10])}{', ...' if len(unknown) > 10 else ''}. Known classes are "
            f"{', '.join(known[:10])}{', ...' if len(known) > 10 else ''}."
        )
    return None if list(names) == list(known) else [list(known).index(name) for name in names]
