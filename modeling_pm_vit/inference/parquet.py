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
from ..data.rows import Rows, file_of
from ..explanation_pm_vit import Prediction
from ..image_loading_pm_vit import Window
from ..image_processing_pm_vit import PMViTImageProcessor
from ..utils.errors import NotFoundError
from ..utils.resuming import missing_parts
from ..utils.row_shards import RowShards
from .files import names_of
from .folder import require_settings, shown_reason
from .photographs import Failure, Photograph, in_batches, read_photograph
from .predictor import Predictor, predict, records_of
from .written import refuse_documents

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
        "confidence": pa.float32(),  # of the image as a whole
        "doubt": pa.string(),  # "unsure" or "seen nowhere", or null
        "boxes": pa.list_(pa.list_(pa.int32())),  # K: xmin, ymin, xmax, ymax, ends exclusive; null: no mask
        "map_height": pa.int32(),  # in patches
        "map_width": pa.int32(),
        "maps": pa.binary(),  # (K, map_height, map_width) bytes: 255 times the probability
        "error": pa.string(),  # why there is no explanation, otherwise null
    }
)


class PathRows:
    """
    Image files in the form of the rows of [`open_rows`].

    Args:
        paths: what [`find_images`] returned; or paths, which are named by their file names.
    """

    name, features = "the files", {"image": None}

    def __init__(self, paths: Sequence[Path]):
        self.paths, self.names = list(paths), names_of(paths)

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
    batch_size: int = 4,
    workers: int = 2,
    rows_per_shard: int = 1000,
    window: Window | None = None,
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
        window: of grey images, see [`load_image`].

    Raises:
        InputError: if the column does not exist, a number is out of range, or `output` contains explanations of other
            settings or of another format.
    """
    require_settings(threshold=threshold, batch_size=batch_size, workers=workers, rows_per_shard=rows_per_shard)
    require_columns(rows.name, rows.features, {"--image_column": column})
    refuse_documents(output)
    all_settings = {**settings, **predictor.settings, "threshold": threshold} | ({"window": window} if window else {})
    with process.main_process_first():
        shards = RowShards(output, NAME, len(rows), rows_per_shard, SCHEMA, all_settings)
    with (
        missing_parts(process, shards.ranges, shards.has) as mine,
        tqdm(
            total=sum(map(len, mine)), unit="image", desc="explaining", disable=not process.is_main_process
        ) as progress,
    ):
        for numbers in mine:
            items = (_item(rows, number, column) for number in numbers)
            shards.write(numbers, list(_records(predictor, items, threshold, batch_size, workers, progress, window)))
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


@dataclass(frozen=True)
class _Item:
    """A row: its number, the value of its image column (or why there is none), its file and the name of this."""

    number: int
    value: Any
    path: str | None
    name: str | None


def _records(
    predictor: Predictor,
    items: Iterable[_Item],
    threshold: float,
    batch_size: int,
    workers: int,
    progress: "tqdm[Any]",
    window: Window | None,
) -> Iterator[dict[str, Any]]:
    def read(item: _Item) -> Photograph | Failure:
        if isinstance(item.value, Failure):
            return item.value
        return read_photograph(item.value, predictor.image_processor, keep_image=False, window=window)

    for batch in in_batches(items, read, batch_size, workers):
        readable = [found for _, found in batch if isinstance(found, Photograph)]
        predictions = predict(predictor, readable)
        for item, found in batch:
            record = dict.fromkeys(SCHEMA.names) | {"row": item.number, "file": item.name}
            if isinstance(found, Failure):
                yield record | {"error": shown_reason(found.reason, item.path, item.name)}
            else:
                yield record | _explanation(predictor, found, next(predictions), threshold)
        progress.update(len(batch))


def _explanation(
    predictor: Predictor, photograph: Photograph, prediction: Prediction, threshold: float
) -> dict[str, Any]:
    records = records_of(predictor, photograph, prediction, threshold)
    label_ids = prediction.explain_labels[0]
    maps = prediction.mask_logits[0].sigmoid()
    return {
        "height": photograph.size[0],
        "width": photograph.size[1],
        "label_ids": label_ids[label_ids >= 0].tolist(),
        "labels": [record["label"] for record in records],
        "scores": [record["score"] for record in records],
        "confidence": None if prediction.confidence is None else float(prediction.confidence[0]),
        "doubt": prediction.doubts()[0],
        "boxes": [record["box"] and list(record["box"].values()) for record in records],
        "map_height": maps.shape[-2],
        "map_width": maps.shape[-1],
        "maps": (maps * 255).round().to(torch.uint8).numpy().tobytes(),
    }


def _item(rows: Rows | PathRows, number: int, column: str) -> _Item:
    try:
        value = rows[number][column]
    except (OSError, ValueError, KeyError) as error:
        reason = repr(error).replace(f"{rows.name}/", "")
        return _Item(number, Failure(f"the row cannot be read: {reason}"), None, None)
    path = value.get("path") if isinstance(value, dict) else None
    if isinstance(rows, PathRows):
        return _Item(number, value, path, rows.names[rows.paths[number]])
    return _Item(number, value, path, file_of({column: value}, column))
