"""Writes explanations of any number of photographs to parquet files, with several processes, resumable."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import PartialState
from tqdm import tqdm

from ..data.columns import require_columns
from ..data.rows import Rows
from ..explanation_pm_vit import Prediction
from ..image_processing_pm_vit import PMViTImageProcessor
from ..utils.errors import NotFoundError
from ..utils.resuming import missing_parts
from ..utils.row_shards import RowShards
from .photographs import Failure, Photograph, in_batches, read_photograph
from .predictor import Predictor, explanation_of, predict

NAME = "explanations"
SCHEMA = pa.schema(
    {
        "row": pa.int64(),  # of the source
        "file": pa.string(),  # if the source has it
        "height": pa.int32(),  # of the photograph, in pixels
        "width": pa.int32(),
        "label_ids": pa.list_(pa.int32()),  # K
        "labels": pa.list_(pa.string()),  # K
        "scores": pa.list_(pa.float32()),  # K
        "boxes": pa.list_(pa.list_(pa.int32())),  # K: xmin, ymin, xmax, ymax, ends exclusive; null: no mask
        "map_height": pa.int32(),  # in patches
        "map_width": pa.int32(),
        "maps": pa.binary(),  # (K, map_height, map_width) bytes: 255 times the probability
        "error": pa.string(),  # why there is no explanation, otherwise null
    }
)


class PathRows:
    """Image files in the form of the rows of [`open_rows`]."""

    name, features = "the files", {"image": None}

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": {"bytes": None, "path": str(self.paths[index])}}


@dataclass(frozen=True)
class Counts:
    """Number of rows, and of rows that could not be read."""

    rows: int
    failed: int


def explain_rows(
    predictor: Predictor,
    rows: Rows | PathRows,
    output: Path,
    settings: Mapping[str, Any],
    process: PartialState,
    column: str = "image",
    threshold: float = 0.5,
    batch_size: int = 8,
    workers: int = 2,
    rows_per_shard: int = 1000,
) -> Counts:
    """
    Write the missing shards of explanations to `output` (columns: see `SCHEMA`). Several processes share them, and
    return when all exist. One shard and a few batches are in memory at a time.

    Args:
        settings: what the rows and the explained classes depend on, as values for JSON.
        process: this process of the launch.
        column: of the encoded images.
        threshold: probability from which a pixel belongs to a class, for the boxes.
        workers: number of threads that read.

    Raises:
        InputError: if the column does not exist, or `output` contains explanations of other settings.
    """
    require_columns(rows.name, rows.features, {"--image_column": column})
    all_settings = {**settings, **predictor.settings, "threshold": threshold}
    with process.main_process_first():
        shards = RowShards(output, NAME, len(rows), rows_per_shard, SCHEMA, all_settings)
    with (
        missing_parts(process, shards.ranges, shards.has) as mine,
        tqdm(
            total=sum(map(len, mine)), unit="image", desc="explaining", disable=not process.is_main_process
        ) as progress,
    ):
        for numbers in mine:
            items = ((number, _value(rows, number, column)) for number in numbers)
            shards.write(numbers, list(_records(predictor, items, threshold, batch_size, workers, progress)))
    failed = sum(len(part) - part["error"].null_count for part in shards.tables(["error"]))
    return Counts(len(rows), failed)


def read_explanations(folder: Path) -> Iterator[dict[str, Any]]:
    """The stored rows in the order of the source; `maps` are probabilities `(K, map_height, map_width)`, or `None`."""
    files = sorted(folder.glob(f"{NAME}-*.parquet"))
    if not files:
        raise NotFoundError(f"{folder} contains no {NAME}-*.parquet.")
    for file in files:
        for row in pq.read_table(file).to_pylist():
            if row["maps"] is not None:
                maps = np.frombuffer(row["maps"], np.uint8).reshape(-1, row["map_height"], row["map_width"])
                row["maps"] = maps.astype(np.float32) / 255
            yield row


def stored_heatmaps(row: Mapping[str, Any], processor: PMViTImageProcessor) -> torch.Tensor:
    """
    The heat maps `(K, height, width)` at the size of the photograph, from a row of [`read_explanations`]; rounded to 8
    bits, so the error is at most 1/510.

    Args:
        processor: of the model, for the area of a photograph that the model saw.
    """
    stored = Prediction(
        torch.tensor([row["label_ids"]]), torch.tensor([row["scores"]]), torch.tensor(row["maps"])[None].logit()
    )
    return processor.post_process_masks(stored, [(row["height"], row["width"])])[0]["heatmaps"]


def _records(
    predictor: Predictor,
    items: Iterable[tuple[int, Any]],
    threshold: float,
    batch_size: int,
    workers: int,
    progress: "tqdm[Any]",
) -> Iterator[dict[str, Any]]:
    """From the numbers of rows and the values of their image column."""

    def read(item: tuple[int, Any]) -> Photograph | Failure:
        value = item[1]
        if isinstance(value, Failure):
            return value
        return read_photograph(value, predictor.image_processor, keep_image=False)

    for batch in in_batches(items, read, batch_size, workers):
        readable = [found for _, found in batch if isinstance(found, Photograph)]
        predictions = predict(predictor, readable)
        for (number, value), found in batch:
            record = dict.fromkeys(SCHEMA.names) | {"row": number, "file": _file(value)}
            if isinstance(found, Failure):
                yield record | {"error": found.reason}
            else:
                yield record | _explanation(predictor, found, next(predictions), threshold)
        progress.update(len(batch))


def _explanation(
    predictor: Predictor, photograph: Photograph, prediction: Prediction, threshold: float
) -> dict[str, Any]:
    explanation = explanation_of(predictor, photograph, prediction, threshold)
    maps = prediction.mask_logits[0].sigmoid()
    return {
        "height": photograph.size[0],
        "width": photograph.size[1],
        "label_ids": explanation["label_ids"].tolist(),
        "labels": explanation["labels"],
        "scores": explanation["scores"].tolist(),
        "boxes": explanation["boxes"],
        "map_height": maps.shape[-2],
        "map_width": maps.shape[-1],
        "maps": (maps * 255).round().to(torch.uint8).numpy().tobytes(),
    }


def _value(rows: Rows | PathRows, number: int, column: str) -> Any:
    """The value of the image column; a row that cannot be read gives a [`Failure`]."""
    try:
        return rows[number][column]
    except (OSError, ValueError, KeyError) as error:
        return Failure(f"the row cannot be read: {error!r}")


def _file(value: Any) -> str | None:
    return value.get("path") if isinstance(value, dict) else None
