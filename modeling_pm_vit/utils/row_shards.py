"""Results of the rows of a source as parquet shards that are written whole or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .files import atomic_write
from .resuming import keep_settings


class RowShards:
    """
    A folder of shards, each named after the rows of the source that it holds, `NAME-FIRST-END.parquet`, and
    `NAME.json`, the settings that they were made with.

    Args:
        folder: made if it does not exist.
        name: with which the names of the files begin.
        rows: number of rows of the source.
        rows_per_shard: number of rows in a shard.
        schema: of a shard.
        settings: all that the results depend on, as JSON takes it.
        row_group: rows of a shard that are written, and later read, at once; by default the whole shard.
        compression: of parquet; `"none"` where the content is compressed already.

    Raises:
        InputError: if the folder holds shards of other settings; names the first that differs.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        rows: int,
        rows_per_shard: int,
        schema: pa.Schema,
        settings: Mapping[str, Any],
        row_group: int | None = None,
        compression: str = "zstd",
    ):
        self.folder, self.name, self.schema = folder, name, schema
        self.row_group, self.compression = row_group, compression
        self.ranges = [range(first, min(first + rows_per_shard, rows)) for first in range(0, rows, rows_per_shard)]
        settings = {"rows": rows, "rows_per_shard": rows_per_shard} | dict(settings)
        self.settings = keep_settings(folder / f"{name}.json", settings, "results")

    def path(self, rows: range) -> Path:
        return self.folder / f"{self.name}-{rows.start:010d}-{rows.stop:010d}.parquet"

    def has(self, rows: range) -> bool:
        return self.path(rows).exists()

    def write(self, rows: range, records: Sequence[Mapping[str, Any]]) -> None:
        """
        Args:
            rows: of the source, one of `ranges`.
            records: with the columns of the schema, one a row.
        """
        step = self.row_group or max(1, len(records))
        with (
            atomic_write(self.path(rows)) as part,
            pq.ParquetWriter(part, self.schema, compression=self.compression) as writer,
        ):
            for start in range(0, max(1, len(records)), step):
                chunk = [dict(record) for record in records[start : start + step]]
                writer.write_table(pa.Table.from_pylist(chunk, schema=self.schema))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The shards that exist, in the source's order, one at a time; by default all their columns."""
        for rows in self.ranges:
            if self.has(rows):
                yield pq.read_table(self.path(rows), columns=None if columns is None else list(columns))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows of these shards; one shard at a time is in memory."""
        for table in self.tables():
            yield from table.to_pylist()
