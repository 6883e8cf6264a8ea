"""Results of the rows of a source as parquet shards that are written whole or not at all."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .settings import keep_settings


class RowShards:
    """
    A folder of shards, each named after the rows of the source that it holds, `NAME-FIRST-END.parquet`, and
    `NAME.json`, the settings that they were made with. A process that was killed leaves a `.part` file at most.

    Args:
        folder: made if it is not there.
        name: what the names of the files begin with.
        rows: number of rows of the source.
        rows_per_shard: how many a shard holds.
        schema: of a shard.
        settings: all that the results depend on, as JSON takes it.
        row_group: rows of a shard that are written, and later read, at once; by default the whole shard.
        compression: of parquet; `"none"` where the content is compressed already.

    Raises:
        ValueError: if the folder holds shards of other settings; names the first that differs.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        rows: int,
        rows_per_shard: int,
        schema: pa.Schema,
        settings: Mapping,
        row_group: int | None = None,
        compression: str = "zstd",
    ):
        self.folder, self.name, self.schema = folder, name, schema
        self.row_group, self.compression = row_group, compression
        self.ranges = [range(first, min(first + rows_per_shard, rows)) for first in range(0, rows, rows_per_shard)]
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"rows": rows, "rows_per_shard": rows_per_shard} | dict(settings)
        self.settings = keep_settings(folder / f"{name}.json", settings, "results")

    def path(self, rows: range) -> Path:
        return self.folder / f"{self.name}-{rows.start:010d}-{rows.stop:010d}.parquet"

    def missing(self) -> list[range]:
        """The shards that are not written yet."""
        return [rows for rows in self.ranges if not self.path(rows).exists()]

    def write(self, rows: range, records: Sequence[Mapping]) -> None:
        """
        Args:
            rows: of the source, one of `ranges`.
            records: with the columns of the schema, one a row.
        """
        part = self.path(rows).with_suffix(f".{os.getpid()}.part")
        step = self.row_group or max(1, len(records))
        with part.open("wb") as file:
            with pq.ParquetWriter(file, self.schema, compression=self.compression) as writer:
                for start in range(0, max(1, len(records)), step):
                    chunk = [dict(record) for record in records[start : start + step]]
                    writer.write_table(pa.Table.from_pylist(chunk, schema=self.schema))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path(rows))

    def __iter__(self) -> Iterator[dict]:
        """All rows that are there, in the source's order; a shard at a time is in memory."""
        for rows in self.ranges:
            if self.path(rows).exists():
                yield from pq.read_table(self.path(rows)).to_pylist()
