"""Datasets whose rows are read by number, with images and masks still encoded, and views of them."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Protocol, cast

import numpy as np
from datasets import Dataset
from datasets import Image as ImageFeature

from ..utils.errors import InputError

_MAX_PATH = 4096  # characters; a longer text is no path


class Rows(Protocol):
    """A dataset whose rows can be read by number, images and masks still encoded."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def features(self) -> Mapping[str, Any]:
        """The label column is a `ClassLabel`."""

    @property
    def blocks(self) -> Sequence[int] | None:
        """Lengths of the parts that are read at once; None: random access is cheap."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    def rows_with(self, column: str) -> np.ndarray:
        """The rows, ascending, that have a value in a column."""
        ...

    def values(self, column: str) -> Sequence[Any]:
        """The values of a column in all rows; no other column is read."""
        ...

    def place(self, index: int) -> str:
        """Where a row is, for messages: source and number, or the file that holds it."""
        ...


def file_of(row: Mapping[str, Any], image_column: str) -> str | None:
    """The name of a row's image file, without folders, if the row knows it."""
    value = row.get(image_column)
    path = value.get("path") if isinstance(value, dict) else getattr(value, "filename", value)
    return PurePath(path).name or None if isinstance(path, (str, PurePath)) and len(str(path)) < _MAX_PATH else None


def place_of(rows: Rows, index: int, row: Mapping[str, Any], image_column: str) -> str:
    """Where a row is, and the name of its image file if it is known."""
    file = file_of(row, image_column)
    return rows.place(index) + (f" ({file})" if file else "")


def rows_to_look_at(rows: Rows, found: np.ndarray, most: int) -> list[int]:
    """Up to `most` of the `found` rows, ascending, spread over all of them; of a stream, over their first block."""
    if rows.blocks is not None and len(found):
        ends = np.cumsum(rows.blocks)
        found = found[found < ends[np.searchsorted(ends, found[0], "right")]]
    looked = found[np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)]
    return cast(list[int], looked.tolist())


class DatasetRows:
    """The rows of a `datasets.Dataset`."""

    blocks = None

    def __init__(self, dataset: Dataset, name: str):
        self.name, self.features = name, dataset.features
        for column, feature in dataset.features.items():
            if isinstance(feature, ImageFeature):
                dataset = dataset.cast_column(column, ImageFeature(decode=False))
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return cast(dict[str, Any], self.dataset[index])

    def rows_with(self, column: str) -> np.ndarray:
        parts = self.dataset.select_columns(column).with_format("arrow").iter(10_000)
        return np.flatnonzero(np.concatenate([[], *(part.column(column).is_valid() for part in parts)]))

    def values(self, column: str) -> Sequence[Any]:
        return cast(Sequence[Any], self.dataset.select_columns(column)[column][:])

    def place(self, index: int) -> str:
        return f"{self.name}, row {index}"


class MaskSubset:
    """
    The same rows, of which only a fraction keeps its mask, in each class alike and evenly spread; the mask of the
    others is `None`.

    Args:
        mask_column, label_column: names.
        fraction: of the rows that keep their mask, in [0, 1].
    """

    def __init__(self, rows: Rows, mask_column: str, label_column: str, fraction: float):
        if not 0 <= fraction <= 1:
            raise InputError(f"--mask_fraction must lie in [0, 1], got {fraction}.")
        self.rows, self.mask_column = rows, mask_column
        self.name, self.features, self.blocks = rows.name, rows.features, rows.blocks
        labels = [str(label) for label in rows.values(label_column)]
        numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        by_class = np.argsort([numbers[label] for label in labels], kind="stable")
        rank = np.arange(len(labels))
        self._keeps = np.empty(len(labels), bool)
        self._keeps[by_class] = np.floor((rank + 1) * fraction) > np.floor(rank * fraction)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        return row if self._keeps[index] else row | {self.mask_column: None}

    def rows_with(self, column: str) -> np.ndarray:
        found = self.rows.rows_with(column)
        return found[self._keeps[found]] if column == self.mask_column else found

    def values(self, column: str) -> Sequence[Any]:
        values = self.rows.values(column)
        if column != self.mask_column:
            return values
        return [value if self._keeps[index] else None for index, value in enumerate(values)]

    def place(self, index: int) -> str:
        return self.rows.place(index)


class SelectedRows:
    """
    Some of the rows, in their order.

    Args:
        indices: ascending.
    """

    def __init__(self, rows: Rows, indices: np.ndarray):
        self.rows, self.indices = rows, indices
        self.name, self.features = rows.name, rows.features
        self.blocks: list[int] | None = None
        if rows.blocks is not None:
            ends = np.searchsorted(indices, np.cumsum([0, *rows.blocks]))
            self.blocks = [int(length) for length in np.diff(ends) if length]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[int(self.indices[index])]

    def rows_with(self, column: str) -> np.ndarray:
        return np.flatnonzero(np.isin(self.indices, self.rows.rows_with(column)))

    def values(self, column: str) -> Sequence[Any]:
        values = self.rows.values(column)
        return [values[index] for index in self.indices.tolist()]

    def place(self, index: int) -> str:
        return self.rows.place(int(self.indices[index]))


def row_number(rows: Rows, index: int) -> int:
    """The number of a row in the whole dataset, of which `rows` may be a part."""
    return row_number(rows.rows, int(rows.indices[index])) if isinstance(rows, SelectedRows) else index


class RowsWithMasks(SelectedRows):
    """
    Only those rows that have a value in the mask column.

    Raises:
        InputError: if the rows are read block by block, where reading a single row costs a whole block.
    """

    def __init__(self, rows: Rows, column: str):
        if rows.blocks is not None:
            raise InputError(
                f"--mask_rate: {rows.name} is read block by block, so its rows with a {column!r} cannot be repeated. "
                "Store the rows with masks as a second dataset and name it with --mask_data."
            )
        super().__init__(rows, rows.rows_with(column))
        self.name = f"{rows.name}, rows with a {column!r}"
