"""Results of the rows of a source in parquet shards, which are written atomically."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .files import atomic_write
from .resuming import keep_settings


class RowShards:
    """
    A folder of shards, named after their rows of the source, `NAME-FIRST-END.parquet`, and `NAME.json` with the
    settings of the results.

    Args:
        folder: created if it does not exist.
        name: prefix of the names of the files.
        rows: number of rows of the source.
        rows_per_shard: number of rows in a shard.
        schema: of a shard.
        settings: everything that the results depend on, as values for JSON.
        row_group: number of rows that are written and read at once; by default the whole shard.
        compression: of parquet; `"none"` if the content is already compressed.

    Raises:
        InputError: if the folder contains shards of other settings; names the first that differs.
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
            records: one per row, with the columns of the schema.
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
        """The existing shards in the order of the source, one at a time; by default all their columns."""
        for rows in self.ranges:
            if self.has(rows):
                yield pq.read_table(self.path(rows), columns=None if columns is None else list(columns))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows of these shards; one shard at a time is in memory."""
        for table in self.tables():
            yield from table.to_pylist()
