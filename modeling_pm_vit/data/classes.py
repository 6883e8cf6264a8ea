"""Classes of a label column: their names, and how the classes of one dataset map to those of another."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, LargeList, List, Value

from ..utils.errors import InputError

_FLOATS = " Integers of which some are missing are often stored as floats: store them as integers, null for missing."
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
            f"each row, got the type {feature}.{_FLOATS if kind.startswith(('float', 'double')) else ''}"
        )


def class_names(features: Mapping[str, Any], label_column: str = "label") -> list[str]:
    """
    The class names of a dataset's label column.

    Raises:
        InputError: if there is no such column, or it is not a `ClassLabel`.
    """
    if label_column not in features:
        raise InputError(f"there is no column {label_column!r}; the columns are {', '.join(features)}.")
    feature = features[label_column]
    names: list[str] | None = getattr(feature, "names", None)
    if names:
        return names
    if isinstance(feature, (List, LargeList)) or getattr(feature, "dtype", None) == "bool":
        what = "flags" if isinstance(feature, Value) else "several labels per image"
        raise InputError(f"the column {label_column!r} holds {what}, but this command needs one class per image.")
    raise InputError(f"the column {label_column!r} must be a ClassLabel, got {feature}.")


@dataclass(frozen=True)
class ClassMap:
    """
    The classes of a dataset, and the index of each among the classes of a model. Labels and the classes in masks go
    through the same map.

    Args:
        names: of the dataset's classes, in the order in which its labels and masks number them from 0.
        ids: for each of them its index in the model.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    @classmethod
    def own(cls, names: Sequence[str]) -> "ClassMap":
        """Of a dataset whose classes are those of the model."""
        return cls(tuple(names), tuple(range(len(names))))

    @property
    def renumbers(self) -> bool:
        """Whether a class has another index in the model."""
        return self.ids != tuple(range(len(self.ids)))


def model_class(index: Any, classes: ClassMap | None, what: str = "the label") -> int:
    """
    The model's index of a class of a dataset.

    Args:
        index: as the dataset numbers it.
        classes: of the dataset; `None` if any index is a class, and the same in the model.
        what: was read, for the message.

    Raises:
        InputError: if the dataset has no such class.
    """
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
        raise InputError(f"{what} must be the index of a class, got {index!r}.")
    if index < 0 or (classes is not None and index >= len(classes.ids)):
        known = "" if classes is None else f" ... {len(classes.ids) - 1}"
        has = "" if classes is None else f"; the dataset has {_counted(classes.names)}"
        raise InputError(f"{what} must lie in 0{known}, got {index}{has}.")
    return int(index) if classes is None else classes.ids[index]


def match_classes(
    names: Sequence[str],
    known: Sequence[str],
    source: str,
    remedy: str = "",
    of: str = "the training set or the model",
) -> ClassMap:
    """
    Match the classes of a dataset to others by name. Classes without names, that is numbers from 0, are those of the
    same places.

    Args:
        names: classes of a dataset.
        known: classes of the training set or of the model, in their order.
        source: name of the dataset, for the message.
        remedy: what to do about an unknown class, for the message.
        of: what the known classes are of, for the message.

    Raises:
        InputError: if the dataset has a class that is not known, or that is known twice.
    """
    if are_numbers(names) and len(names) <= len(known) and not set(names) & set(known):
        return ClassMap(tuple(names), tuple(range(len(names))))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"{source} has classes that {of} does not have: {_shown(unknown)} ({len(unknown)} of {len(names)}); "
            f"{of} has {_shown(known)}.{_similar(unknown, known)}{remedy}"
        )
    twice = [name for name, count in Counter(known).items() if count > 1 and name in names]
    if twice:
        raise InputError(f"{source}: {of} has more than one class {twice[0]!r}, so it cannot be matched.{remedy}")
    index = {name: number for number, name in enumerate(known)}
    return ClassMap(tuple(names), tuple(index[name] for name in names))


def are_numbers(names: Sequence[str]) -> bool:
    """Whether classes have no names, as those of integer labels."""
    return list(names) == [str(number) for number in range(len(names))]


def require_distinct(names: Sequence[str], source: str) -> None:
    """
    Raises:
        InputError: if two names differ in case or blanks only.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_plain(name), name)
        if other != name:
            raise InputError(
                f"{source} has the classes {other!r} and {name!r}, which differ in case or blanks only: rename one of "
                "them, or list all classes with --class_names if they are different."
            )


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} class{'' if len(names) == 1 else 'es'}: {_shown(names)}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _similar(unknown: Sequence[str], known: Sequence[str]) -> str:
    """A hint where a name differs from a known one in case or blanks only."""
    plain = {_plain(name): name for name in known}
    pairs = [(name, plain[_plain(name)]) for name in unknown if _plain(name) in plain]
    return f" {pairs[0][0]!r} and {pairs[0][1]!r} differ in case or blanks only: rename one of them." if pairs else ""


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
