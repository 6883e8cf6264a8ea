"""Pseudo masks on disk: parquet that the trainer reads, in shards that are written whole or not at all."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from ..data.settings import keep_settings
from ..data.shards import ParquetRows

ROW_GROUP = 64  # rows that a stream reads at a time
METADATA_KEY = b"pseudo_masks"


class ShardFolder:
    """
    The shards of one split, named after it and after the rows of the source that they hold, `SPLIT-FIRST-END.parquet`,
    and `SPLIT.json`, what they were made with.

    The columns are `image`, as the source has it, `label`, `row`, its number in the source, `mask`, an image of 0 and
    255 (null where there is none), and `mask_score` (null where the method saw no object).

    Args:
        folder: made if it is not there.
        split: name of the split.
        rows: number of rows of the source.
        rows_per_shard: how many a shard holds.
        names: of the classes.
        settings: all that the masks depend on, as JSON takes it.

    Raises:
        ValueError: if the folder holds shards of other settings; names the first that differs.
    """

    def __init__(
        self, folder: Path, split: str, rows: int, rows_per_shard: int, names: Sequence[str], settings: Mapping
    ):
        self.folder, self.split = folder, split
        self.ranges = [range(first, min(first + rows_per_shard, rows)) for first in range(0, rows, rows_per_shard)]
        self.features = Features(
            {
                "image": ImageFeature(),
                "label": ClassLabel(names=list(names)),
                "row": Value("int64"),
                "mask": ImageFeature(),
                "mask_score": Value("float32"),
            }
        )
        settings = {"rows": rows, "rows_per_shard": rows_per_shard} | dict(settings)
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = keep_settings(folder / f"{split}.json", settings, "masks")

    def path(self, rows: range) -> Path:
        return self.folder / f"{self.split}-{rows.start:08d}-{rows.stop:08d}.parquet"

    def missing(self) -> list[range]:
        """The shards that are not written yet."""
        return [rows for rows in self.ranges if not self.path(rows).exists()]

    def write(self, rows: range, records: Sequence[Mapping]) -> None:
        """
        Args:
            rows: of the source, one of `ranges`.
            records: with the columns of the shard, one a row.
        """
        metadata = {**(self.features.arrow_schema.metadata or {}), METADATA_KEY: json.dumps(self.settings)}
        schema = self.features.arrow_schema.with_metadata(metadata)
        part = self.path(rows).with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            with pq.ParquetWriter(file, schema, compression="none") as writer:
                for start in range(0, max(1, len(records)), ROW_GROUP):
                    chunk = [dict(record) for record in records[start : start + ROW_GROUP]]
                    writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path(rows))

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Columns of all rows, in the source's order."""
        return pa.concat_tables(pq.read_table(self.path(rows), columns=list(columns)) for rows in self.ranges)

    def rows(self, places: Iterable[int]) -> Iterator[dict]:
        """Whole rows, by their place among all rows of the shards."""
        dataset = ParquetRows([str(self.path(rows)) for rows in self.ranges])
        return (dataset[place] for place in places)


def encode_mask(mask: np.ndarray) -> dict[str, bytes | None]:
    """A value of the mask column from boolean `(height, width)`."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": None}
