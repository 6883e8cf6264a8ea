"""Shards read where they lie, row by row: parquet by its row groups, WebDataset tar by its members.

Their index (lengths, or the places of the members) is all that is held, beside a few blocks. So a stream can begin at
any row, which no shuffle buffer allows. fsspec opens the files, so they may be remote.
"""

import logging
import tarfile
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features

logger = logging.getLogger(__name__)
_HELD_BLOCKS = 20  # row groups in memory: the window of `shuffled`, and some


class _Shards:
    """What both kinds share: opening each file once to index it, and numbering rows through all."""

    def __init__(self, files: Sequence[str], size: int | None, skip_bad: bool, index: Callable[[str], list]):
        self.name = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        self.index = [entry for found in usable_shards(files, skip_bad, index).values() for entry in found]
        self.size = size

    def __len__(self) -> int:
        return self._count if self.size is None else min(self.size, self._count)

    def _named_classes(self, features, label_column: str | None):
        if label_column is None:
            return dict(features), None
        if label_column not in features:
            raise ValueError(f"{self.name} has no column {label_column!r}; its columns are {', '.join(features)}.")
        if isinstance(features[label_column], ClassLabel):
            return dict(features), None
        label = class_label(self._values(label_column))
        return dict(features) | {label_column: label}, label

    def _label(self, value) -> int:
        return value if self._classes is None or isinstance(value, int) else self._classes.str2int(str(value))


def usable_shards(files: Sequence[str], skip_bad: bool, index: Callable[[str], list]) -> dict[str, list]:
    """
    What `index` finds in each file. One that is empty or cannot be read raises, or is left out with a warning.

    Raises:
        ValueError: names the shard and what is wrong with it.
    """
    usable = {}
    for file in files:
        try:
            found = index(file)
            if not found:
                raise ValueError("it is empty")
        except (OSError, ValueError, pa.ArrowException, tarfile.TarError) as error:
            if not skip_bad:
                raise ValueError(
                    f"the shard {file} cannot be used: {error} (--on_bad_sample skip leaves it out.)"
                ) from error
            logger.warning("skipped the shard %s: %s", file, error)
            continue
        usable[file] = found
    if not usable:
        raise ValueError(f"none of the {len(files)} shards (the first is {files[0]}) can be used.")
    return usable


def row_groups(file: str) -> list[tuple[str, int, int]]:
    """The row groups of a parquet file that hold rows: file, number and length of each."""
    with fsspec.open(file) as handle:
        metadata = pq.read_metadata(handle)
    groups = [(file, g, metadata.row_group(g).num_rows) for g in range(metadata.num_row_groups)]
    return [group for group in groups if group[2]]


class ParquetRows(_Shards):
    """
    Rows of parquet files, a row group at a time.

    Args:
        files: paths or URLs.
        size: at most so many rows.
        label_column: its values, if they are no `ClassLabel` yet, become the classes (see [`class_label`]); `None`
            where classes do not matter.
        skip_bad: warn of shards that are empty or cannot be read, instead of raising.
    """

    def __init__(
        self, files: Sequence[str], size: int | None = None, label_column: str | None = "label", skip_bad: bool = False
    ):
        super().__init__(files, size, skip_bad, row_groups)
        lengths = [rows for _, _, rows in self.index]
        self._ends = np.cumsum(lengths).tolist()
        self._count = self._ends[-1]
        full = bisect_right(self._ends, len(self))
        start = self._ends[full - 1] if full else 0
        self.blocks = lengths[:full] + ([len(self) - start] if len(self) > start else [])
        self._held: OrderedDict[int, pa.Table] = OrderedDict()
        with fsspec.open(self.index[0][0]) as handle:
            features = Features.from_arrow_schema(pq.read_schema(handle))
        self.label_column = label_column
        self.features, self._classes = self._named_classes(features, label_column)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        block = bisect_right(self._ends, index)
        if block not in self._held:
            file, group, _ = self.index[block]
            with fsspec.open(file) as handle:
                self._held[block] = pq.ParquetFile(handle).read_row_group(group)
            if len(self._held) > _HELD_BLOCKS:
                self._held.popitem(last=False)
        self._held.move_to_end(block)
        place = index - (self._ends[block - 1] if block else 0)
        row = self._held[block].slice(place, 1).to_pylist()[0]
        if self.label_column is not None:
            row[self.label_column] = self._label(row[self.label_column])
        return row

    def rows_with(self, column: str) -> np.ndarray:
        found = np.flatnonzero(np.concatenate([part.is_valid() for part in self._parts(column)]))
        return found[found < len(self)]

    def _values(self, column: str) -> list:
        return list({value for part in self._parts(column) for value in part.to_pylist()})

    def _parts(self, column: str) -> Iterator[pa.ChunkedArray]:
        """A column, file by file."""
        for file in dict.fromkeys(file for file, _, _ in self.index):
            with fsspec.open(file) as handle:
                yield pq.ParquetFile(handle).read(columns=[column]).column(column)

    def __getstate__(self) -> dict:  # a worker process begins without blocks
        return self.__dict__ | {"_held": OrderedDict()}


class TarRows(_Shards):
    """
    Rows of WebDataset tar files, without compression: members whose names agree up to the first dot of the file name
    are a row, and what follows is the column (`0001.jpg`, `0001.cls`, `0001.mask.png`).

    Args:
        files, size, skip_bad: as for [`ParquetRows`].
        label_column: a column of text, of numbers or names.
    """

    blocks = None

    def __init__(
        self, files: Sequence[str], size: int | None = None, label_column: str | None = "cls", skip_bad: bool = False
    ):
        def index(file):
            rows: dict[str, dict] = {}
            with fsspec.open(file) as handle, tarfile.open(fileobj=handle, mode="r:") as archive:
                for member in archive:
                    folder, _, base = member.name.rpartition("/")
                    key, dot, column = base.partition(".")
                    if member.isfile() and dot:
                        rows.setdefault(f"{folder}/{key}", {})[column] = (file, member.offset_data, member.size)
            return list(rows.values())

        super().__init__(files, size, skip_bad, index)
        self._count = len(self.index)
        self.label_column = label_column
        columns = dict.fromkeys(column for row in self.index for column in row)
        self.features, self._classes = self._named_classes(columns, label_column)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = {column: _read(*place) for column, place in self.index[index].items()}
        if self.label_column is None:
            return row
        if self.label_column not in row:
            raise ValueError(f"it has no {self.label_column!r}, only {', '.join(row)}.")
        row[self.label_column] = self._label(_number_or_text(row[self.label_column]))
        return row

    def rows_with(self, column: str) -> np.ndarray:
        return np.flatnonzero([column in row for row in self.index[: len(self)]])

    def _values(self, column: str) -> list:
        return [_number_or_text(_read(*row[column])) for row in self.index if column in row]


def class_label(values: Iterable) -> ClassLabel:
    """The classes that a column's values name: numbers are indices, anything else is sorted."""
    values = [value for value in set(values) if value is not None]
    if values and all(isinstance(value, int) for value in values):
        return ClassLabel(names=[str(i) for i in range(max(values) + 1)])
    return ClassLabel(names=sorted(map(str, values)))


def _number_or_text(value: bytes) -> int | str:
    text = value.decode().strip()
    return int(text) if text.isdecimal() else text


def _read(file: str, offset: int, size: int) -> bytes:
    with fsspec.open(file) as handle:
        handle.seek(offset)
        return handle.read(size)
