"""Pseudo masks on disk: parquet shards that training reads, each written completely or not at all."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from ..data.shard_readers import ParquetRows
from ..utils.row_shards import RowShards

ROW_GROUP = 64  # rows that a stream reads at a time
METADATA_KEY = b"pseudo_masks"


class ShardFolder(RowShards):
    """
    The shards of one split, named after it (see [`RowShards`]); their schema has the settings too.

    The columns are `image`, encoded as in the dataset, `label`, `row`, the number of the row in the dataset, `mask`, an
    image of 0 and 255 (null without a mask), and `mask_score` (null if the method found no object).

    Args:
        folder: created if it does not exist.
        split: name of the split.
        rows: number of rows of the dataset.
        rows_per_shard: number of rows in a shard.
        names: of the classes.
        settings: everything that the masks depend on, as JSON values.

    Raises:
        InputError: if the folder has shards of other settings; names the first that differs.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        rows: int,
        rows_per_shard: int,
        names: Sequence[str],
        settings: Mapping[str, Any],
    ):
        features = Features(
            {
                "image": ImageFeature(),
                "label": ClassLabel(names=list(names)),
                "row": Value("int64"),
                "mask": ImageFeature(),
                "mask_score": Value("float32"),
            }
        )
        self.classes, schema = list(names), features.arrow_schema
        super().__init__(folder, split, rows, rows_per_shard, schema, settings, ROW_GROUP, compression="none")
        self.schema = schema.with_metadata({**(schema.metadata or {}), METADATA_KEY: json.dumps(self.settings)})

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Columns of all rows, in the source's order."""
        return pa.concat_tables(self.tables(columns))

    def rows(self, places: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Whole rows, by their place among all rows of the shards."""
        dataset = ParquetRows([str(self.path(rows)) for rows in self.ranges])
        return (dataset[place] for place in places)


def encode_mask(mask: np.ndarray) -> dict[str, bytes | None]:
    """A value of the mask column from boolean `(height, width)`."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": None}
