"""Makes the masks of all rows of a dataset, shard by shard, in one or several processes; resumable."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from PIL import Image
from tqdm import tqdm

from ..data.columns import Columns
from ..data.decoding import BAD_ROW_ERRORS, decode_value
from ..data.rows import Rows, place_of, row_number
from ..image_loading_pm_vit import load_image
from ..utils.errors import InputError
from ..utils.resuming import missing_parts
from .method import Method
from .shards import ShardFolder, encode_mask


@dataclass(frozen=True)
class Counts:
    """Numbers of images with a mask, of images in which the method found no object, and of masks with a low score."""

    masks: int
    no_object: int
    low_score: int

    @property
    def images(self) -> int:
        return self.masks + self.no_object + self.low_score


def write_masks(
    rows: Rows,
    method: Method,
    shards: ShardFolder,
    columns: Columns,
    process: PartialState,
    min_score: float = 0.0,
    batch_size: int = 16,
    workers: int = 2,
) -> None:
    """
    Write the missing shards. Several processes share the work and return when all shards are written.

    Args:
        rows: of the dataset.
        method: makes the masks.
        shards: to write to.
        columns: of the dataset; existing masks are not used.
        process: this process.
        min_score: masks with a lower score are left out.
        batch_size: images that the method gets at once.
        workers: threads that decode images.

    Raises:
        InputError: if an image or label cannot be used; names the row.
    """
    with missing_parts(process, shards.ranges, shards.has) as mine, ThreadPoolExecutor(workers) as pool:
        total = sum(map(len, mine))
        title = f"pseudo masks (process {process.process_index + 1} of {process.num_processes})"
        with tqdm(total=total, unit="image", desc=title, disable=not process.is_main_process or not total) as progress:
            for numbers in mine:
                records = []
                for batch in _batches(rows, numbers, columns, batch_size, pool):
                    masks = method([image for _, image in batch], [record["label"] for record, _ in batch])
                    for (record, _), mask in zip(batch, masks, strict=True):
                        kept = mask if mask is not None and mask.score >= min_score else None
                        record["mask"] = None if kept is None else encode_mask(kept.mask)
                        record["mask_score"] = None if mask is None else mask.score
                        records.append(record)
                    progress.update(len(batch))
                shards.write(numbers, records)


def count(shards: ShardFolder) -> Counts:
    """The counts of complete shards."""
    table = shards.read(["mask_score", "mask"])
    without = table["mask"].null_count
    unseen = table["mask_score"].null_count
    return Counts(len(table) - without, unseen, without - unseen)


def _batches(
    rows: Rows, numbers: range, columns: Columns, size: int, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[dict[str, Any], Image.Image]]]:
    """Records without a mask and their decoded images; the next batch is decoded while the current one is used."""
    waiting = None
    for start in range(numbers.start, numbers.stop, size):
        batch = [(i, rows[i]) for i in range(start, min(start + size, numbers.stop))]
        loading = [pool.submit(_load_row, rows, number, row, columns) for number, row in batch]
        if waiting:
            yield [future.result() for future in waiting]
        waiting = loading
    if waiting:
        yield [future.result() for future in waiting]


def _load_row(rows: Rows, number: int, row: dict[str, Any], columns: Columns) -> tuple[dict[str, Any], Image.Image]:
    try:
        missing = [column for column in (columns.label, columns.image) if column not in row]
        if missing:
            raise InputError(f"it has no column {missing[0]!r}; its columns are {', '.join(row)}.")
        label = row[columns.label]
        if label is None or label < 0:
            raise InputError(f"its label is {label}; expected the index of a class.")
        value = row[columns.image]
        image = load_image(decode_value(value))
        return {"image": _encoded(value), "label": label, "row": row_number(rows, number)}, image
    except BAD_ROW_ERRORS as error:
        raise InputError(f"{place_of(rows, number, row, columns.image)}: {error}") from error


def _encoded(value: Any) -> dict[str, bytes | str | None]:
    """An encoded image as bytes; the file is read if the value is a path."""
    value = value if isinstance(value, dict) else {"bytes": value, "path": None}
    path = value.get("path")
    content = value.get("bytes") or Path(path).read_bytes()
    return {"bytes": content, "path": Path(path).name if path else None}
