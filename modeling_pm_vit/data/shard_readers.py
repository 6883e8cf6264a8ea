"""Random access to the rows of shards without a copy: parquet by row groups, WebDataset tar by members.

Only an index (lengths of the row groups, or offsets of the members) and a few row groups are in memory. So a stream can
start at any row, which a shuffle buffer does not allow. fsspec opens the files, which may be remote.
"""

import json
import tarfile
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features

from ..utils.errors import InputError
from .classes import class_label, require_label_type
from .columns import require_columns
from .label_columns import has_classes, is_list, typed_lists
from .shards import read_row_group, row_groups, usable_shards

_MAX_BLOCKS = 20  # row groups in memory: the window of `shuffled` (16) and a few more


class _Shards:
    """Common to both formats: the classes of the label column, and the number of rows."""

    _count: int  # rows of all files
    features: Mapping[str, Any]

    def __init__(self, files: Sequence[str], size: int | None):
        self.name = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        self.size = size
        self._classes: ClassLabel | None = None
        self._has_names = False  # the values of the label column are names, not indices

    def __len__(self) -> int:
        return self._count if self.size is None else min(self.size, self._count)

    def _values(self, column: str) -> list[Any]:
        """The distinct values of a column."""
        raise NotImplementedError

    def _with_classes(self, features: Mapping[str, Any], label_column: str | None) -> dict[str, Any]:
        """The features with a `ClassLabel` in the label column."""
        if label_column is None:
            return dict(features)
        require_columns(self.name, features, {"--label_column": label_column})
        feature = features[label_column]
        if has_classes(feature):
            return dict(features)
        # The columns of tar files have no types.
        if feature is not None and not is_list(feature):
            require_label_type(feature, label_column, self.name)
        values = self._values(label_column)
        if is_list(feature) or any(isinstance(value, list) for value in values):
            lists = typed_lists(values, label_column, self.name)
            self._classes = lists.feature if isinstance(lists.feature, ClassLabel) else None
            self._has_names = any(isinstance(label, str) for value in values for label in value or ())
            return dict(features) | {label_column: lists}
        self._classes = class_label(values)
        self._has_names = not all(value is None or isinstance(value, int) for value in values)
        return dict(features) | {label_column: self._classes}

    def _label_of(self, row: Mapping[str, Any], column: str) -> Any:
        if column not in row and is_list(self.features[column]):
            return None
        if column not in row:
            raise InputError(f"it has no column {column!r}; its columns are {', '.join(row)}.")
        return self._label(row[column])

    def _label(self, value: Any) -> Any:
        """The class index of a label; anything that is no label stays as it is."""
        if isinstance(value, list):
            return [self._label(label) for label in value] if self._classes is not None else value
        if self._classes is not None and self._has_names and value is not None:
            return self._classes.str2int(str(value))
        return int(value) if isinstance(value, bool) else value


class ParquetRows(_Shards):
    """
    Rows of parquet files, a row group at a time.

    Args:
        files: paths or URLs. A file may lack a column, whose values are then `None`, but not the label column.
        size: at most this many rows.
        label_column: becomes a `ClassLabel` if it is none yet (see [`class_label`]); `None` where classes do not
            matter.
        skip_bad: leave out shards that are empty or cannot be read, with a warning, instead of raising.
    """

    def __init__(
        self, files: Sequence[str], size: int | None = None, label_column: str | None = "label", skip_bad: bool = False
    ):
        super().__init__(files, size)
        self.index = [group for groups in usable_shards(files, skip_bad, row_groups).values() for group in groups]
        lengths = [rows for _, _, rows in self.index]
        self._ends = np.cumsum(lengths).tolist()
        self._count = self._ends[-1]
        full = bisect_right(self._ends, len(self))
        start = self._ends[full - 1] if full else 0
        self.blocks = lengths[:full] + ([len(self) - start] if len(self) > start else [])
        self._blocks_read: OrderedDict[int, pa.Table] = OrderedDict()
        self._rows_with: dict[str, np.ndarray] = {}
        with fsspec.open(self.index[0][0]) as handle:
            features = Features.from_arrow_schema(pq.read_schema(handle))
        self.label_column = label_column
        self.features = self._with_classes(features, label_column)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        block = bisect_right(self._ends, index)
        if block not in self._blocks_read:
            self._blocks_read[block] = read_row_group(*self.index[block][:2])
            if len(self._blocks_read) > _MAX_BLOCKS:
                self._blocks_read.popitem(last=False)
        self._blocks_read.move_to_end(block)
        offset = index - (self._ends[block - 1] if block else 0)
        row: dict[str, Any] = self._blocks_read[block].slice(offset, 1).to_pylist()[0]
        if self.label_column is not None:
            row[self.label_column] = self._label_of(row, self.label_column)
        return row

    def rows_with(self, column: str) -> np.ndarray:
        if column not in self._rows_with:  # reads the column of all files, which may be remote and hold masks
            found = np.flatnonzero(np.concatenate([part.is_valid() for part in self._parts(column)]))
            self._rows_with[column] = found[found < len(self)]
        return self._rows_with[column]

    def values(self, column: str) -> list[Any]:
        values = [value for part in self._parts(column) for value in part.to_pylist()][: len(self)]
        return [self._label(value) for value in values] if column == self.label_column else values

    def place(self, index: int) -> str:
        file = self.index[bisect_right(self._ends, index)][0]
        first = next(block for block, part in enumerate(self.index) if part[0] == file)
        return f"{file}, row {index - (self._ends[first - 1] if first else 0)}"

    def _values(self, column: str) -> list[Any]:
        values = (value for part in self._parts(column) for value in part.to_pylist())
        return list({str(value): value for value in values}.values())

    def _parts(self, column: str) -> Iterator[pa.ChunkedArray]:
        """A column, file by file; nulls for a file that lacks it."""
        for file in dict.fromkeys(file for file, _, _ in self.index):
            with fsspec.open(file) as handle:
                parquet = pq.ParquetFile(handle)
                if column in parquet.schema_arrow.names:
                    yield parquet.read(columns=[column]).column(column)
                else:
                    yield pa.chunked_array([pa.nulls(parquet.metadata.num_rows)])

    def __getstate__(self) -> dict[str, Any]:  # a worker process starts without row groups
        return self.__dict__ | {"_blocks_read": OrderedDict(), "_rows_with": {}}


class TarRows(_Shards):
    """
    Rows of uncompressed WebDataset tar files: members whose names are equal up to the first dot of the file name are a
    row, and the rest of the name is the column (`0001.jpg`, `0001.cls`, `0001.mask.png`).

    Args:
        files, size, skip_bad: as for [`ParquetRows`].
        label_column: of texts: class indices or class names, or JSON lists of these or of numbers.
    """

    blocks = None

    def __init__(
        self, files: Sequence[str], size: int | None = None, label_column: str | None = "cls", skip_bad: bool = False
    ):
        def index(file: str) -> list[tuple[str, dict[str, tuple[str, int, int]]]]:
            rows: dict[str, dict[str, tuple[str, int, int]]] = {}
            with fsspec.open(file) as handle, tarfile.open(fileobj=handle, mode="r:") as archive:
                for member in archive:
                    folder, _, base = member.name.rpartition("/")
                    key, dot, column = base.partition(".")
                    if member.isfile() and dot:
                        name = f"{folder}/{key}" if folder else key
                        rows.setdefault(name, {})[column] = (file, member.offset_data, member.size)
            return list(rows.items())

        super().__init__(files, size)
        usable = usable_shards(files, skip_bad, index)
        self.index = [row for rows in usable.values() for _, row in rows]
        self._keys = [(file, key) for file, rows in usable.items() for key, _ in rows]
        self._count = len(self.index)
        self.label_column = label_column
        columns = dict.fromkeys(column for row in self.index for column in row)
        self.features = self._with_classes(columns, label_column)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row: dict[str, Any] = {column: _read(*member) for column, member in self.index[index].items()}
        if self.label_column is None:
            return row
        if self.label_column in row:
            row[self.label_column] = _number_or_text(row[self.label_column])
        row[self.label_column] = self._label_of(row, self.label_column)
        return row

    def rows_with(self, column: str) -> np.ndarray:
        return np.flatnonzero([column in row for row in self.index[: len(self)]])

    def values(self, column: str) -> list[Any]:
        rows = self.index[: len(self)]
        values = [_read(*row[column]) if column in row else None for row in rows]
        if column != self.label_column:
            return values
        return [None if value is None else self._label(_number_or_text(value)) for value in values]

    def place(self, index: int) -> str:
        file, key = self._keys[index]
        first = next(row for row, (other, _) in enumerate(self._keys) if other == file)
        return f"{file}, row {index - first} ({key})"

    def _values(self, column: str) -> list[Any]:
        return [_number_or_text(_read(*row[column])) for row in self.index if column in row]


def _number_or_text(value: bytes) -> Any:
    """A class index, a class name, or of a JSON list its values."""
    text = value.decode().strip()
    if text.startswith("["):
        return json.loads(text)
    return int(text) if text.isdecimal() else text


def _read(file: str, offset: int, size: int) -> bytes:
    with fsspec.open(file) as handle:
        handle.seek(offset)
        return handle.read(size)
