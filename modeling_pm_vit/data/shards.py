"""The shards of a dataset, files of parquet or tar: which of them can be read, and where one is broken."""

import logging
import tarfile
from collections.abc import Callable, Sequence
from typing import TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..utils.errors import InputError

logger = logging.getLogger(__name__)
T = TypeVar("T")


def usable_shards(files: Sequence[str], skip_bad: bool, index: Callable[[str], list[T]]) -> dict[str, list[T]]:
    """
    The index of each file. A file that is empty or cannot be read raises, or is left out with a warning.

    Raises:
        InputError: names the file and says what is wrong with it.
    """
    usable = {}
    for file in files:
        try:
            entries = index(file)
            if not entries:
                raise InputError("it has no rows")
        except (OSError, ValueError, pa.ArrowException, tarfile.TarError) as error:
            told = f"the shard {file} cannot be read: {one_line(error)}"
            if not skip_bad:
                raise InputError(f"{told}. Repair it, or leave it out with --on_bad_sample skip.") from error
            logger.warning("skipped: %s", told)
            continue
        usable[file] = entries
    if not usable:
        raise InputError(f"none of the {len(files)} shards can be read; the first is {files[0]}.")
    return usable


def row_groups(file: str) -> list[tuple[str, int, int]]:
    """The row groups of a parquet file that hold rows: file, number and length of each."""
    with fsspec.open(file) as handle:
        metadata = pq.read_metadata(handle)
    groups = [(file, g, metadata.row_group(g).num_rows) for g in range(metadata.num_row_groups)]
    return [group for group in groups if group[2]]


def column_types(file: str) -> str:
    """The columns of a parquet file and their types, to compare with those of others."""
    with fsspec.open(file) as handle:
        return str(pq.read_schema(handle).remove_metadata())


def read_row_group(file: str, group: int) -> pa.Table:
    """
    Raises:
        InputError: if it cannot be read; names file and row group.
    """
    try:
        with fsspec.open(file) as handle:
            return pq.ParquetFile(handle).read_row_group(group)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"row group {group} of {file} cannot be read: {one_line(error)}.") from error


def read_all(file: str) -> list[tuple[str, int, int]]:
    """
    As [`row_groups`], after reading each of them.

    Raises:
        InputError: if one cannot be read; names it and says how many rows are in the file.
    """
    groups = row_groups(file)
    for _, group, _ in groups:
        try:
            read_row_group(file, group)
        except InputError as error:
            count = sum(rows for _, _, rows in groups)
            raise InputError(
                f"row group {group} of {len(groups)} ({count} rows in all): {error.__cause__}"
            ) from error.__cause__
    return groups


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(". ")
