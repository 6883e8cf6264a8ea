"""Opens a dataset by its name or path: a Hub id, a local folder, files to stream, or the built-in set."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetsError, FileNotFoundDatasetsError

from ..utils.errors import InputError, NotFoundError
from .classes import class_label, require_label_type
from .columns import require_columns
from .label_columns import has_classes, is_list, typed_lists
from .rows import DatasetRows, Rows
from .shard_readers import ParquetRows, TarRows, row_groups, usable_shards
from .synthetic import synthetic_dataset


def open_rows(
    source: str,
    split: str,
    size: int | None = None,
    streaming: bool = False,
    label_column: str | None = "label",
    mask_fraction: float = 1.0,
    skip_bad_shards: bool = False,
) -> Rows:
    """
    As [`load_split`], but with images and masks still encoded. WebDataset tar files, and with `streaming` parquet
    files, are read where they are: nothing is copied, and only a few blocks of them are in memory.

    Args:
        source: as for [`load_split`]. To stream: a folder with files named after their splits, or a file or pattern
            that fsspec knows, in which `{split}` stands for the split (`hf://datasets/NAME/data/{split}-*.parquet`).
        skip_bad_shards: leave out shards that are empty or cannot be read, with a warning, instead of raising.

    Raises:
        InputError: if there is no such split or column, or a shard cannot be read; names it.
        NotFoundError: if there is no such dataset.
    """
    files = [] if source == "synthetic" else _shards(source, split, ".tar")
    if files:
        return TarRows(files, size, label_column, skip_bad_shards)
    if not streaming or source == "synthetic":
        dataset = load_split(source, split, size, mask_fraction, 0, label_column, skip_bad_shards)
        return DatasetRows(dataset, f"{source} ({split})")
    files = _shards(source, split, ".parquet")
    if files:
        return ParquetRows(files, size, label_column, skip_bad_shards)
    raise InputError(f"{source} has no parquet or tar files of the split {split!r}, which streaming needs.")


def _shards(source: str, split: str, suffix: str) -> list[str]:
    if "://" in source or source.endswith(suffix):
        from fsspec.core import url_to_fs

        filesystem, pattern = url_to_fs(source.replace("{split}", split))
        paths = filesystem.glob(pattern) if "*" in pattern else [pattern]
        return sorted(filesystem.unstrip_protocol(path) for path in paths if path.endswith(suffix))
    return [str(path) for path in sorted(Path(source).glob(f"{split}*{suffix}"))]


def load_split(
    source: str,
    split: str,
    size: int | None = None,
    mask_fraction: float = 1.0,
    seed: int = 0,
    label_column: str | None = "label",
    skip_bad_shards: bool = False,
) -> Dataset:
    """
    Args:
        source: `"synthetic"`, a dataset of the Hub, or a local folder: an imagefolder, or one of parquet files named
            after their splits.
        split: name of the split; `train[0/5]` is every fifth row of it from row 0, `train[!0/5]` all others.
        size: at most this many rows; for the synthetic set the number of images to draw (default 1,000).
        mask_fraction, seed: of the synthetic set.
        label_column: becomes a `ClassLabel` if it is none yet, with the values of all splits as classes (see
            [`class_label`]; of lists see [`typed_lists`]); `None` where classes do not matter.
        skip_bad_shards: leave out parquet files that are empty or cannot be read, with a warning, instead of raising.

    Raises:
        NotFoundError: if there is no such folder, or no such dataset on the Hub.
        InputError: if there is no such split or column; names those that exist. If a parquet file cannot be read.
    """
    if source == "synthetic":
        return synthetic_dataset(split, size or 1000, mask_fraction=mask_fraction, seed=seed)
    splits = _load(source, skip_bad_shards)
    split, fold = _fold(split)
    if split not in splits:
        raise InputError(f"{source} has no split {split!r}; it has {', '.join(splits)}.")
    dataset = splits[split]
    if label_column is not None and not has_classes(dataset.features.get(label_column)):
        _require_label_column(source, dataset.features, label_column)
        labelled = [part for part in splits.values() if label_column in part.features]
        if is_list(dataset.features[label_column]):
            lists = (value for part in labelled for value in part.select_columns(label_column)[label_column])
            dataset = dataset.cast_column(label_column, typed_lists(lists, label_column, source))
        else:
            classes = class_label(label for part in labelled for label in part.unique(label_column))
            dataset = dataset.cast_column(label_column, classes)
    if fold:
        dataset = dataset.select(fold(len(dataset)))
    return dataset if size is None else dataset.select(range(min(size, len(dataset))))


def _fold(split: str) -> tuple[str, Callable[[int], list[int]] | None]:
    """The split and which of its rows are meant: `train[0/5]` every fifth, `train[!0/5]` all others."""
    match = re.fullmatch(r"(.+)\[(!?)(\d+)/(\d+)\]", split)
    if not match:
        return split, None
    name, others, part, parts = match[1], bool(match[2]), int(match[3]), int(match[4])
    if not part < parts:
        raise InputError(f"{split}: the part must lie in 0 ... {parts - 1}, got {part}.")
    return name, lambda rows: [row for row in range(rows) if (row % parts == part) != others]


def _load(source: str, skip_bad_shards: bool) -> DatasetDict:
    path = Path(source)
    if path.is_dir():
        splits = {file.name.split(".")[0].split("-")[0] for file in path.glob("*.parquet")}
        if splits:
            shards = {name: [str(f) for f in sorted(path.glob(f"{name}*.parquet"))] for name in splits}
            files = {name: list(usable_shards(found, skip_bad_shards, row_groups)) for name, found in shards.items()}
            return _read(source, lambda: load_dataset("parquet", data_files=files))
        return _read(source, lambda: _load_imagefolder(str(path)))
    if source.startswith((".", "/", "~")):
        raise NotFoundError(f"there is no folder {source}.")
    return _read(source, lambda: load_dataset(source))


def _read(source: str, load: Callable[[], DatasetDict]) -> DatasetDict:
    """What `load` returns; errors of `datasets` name the source."""
    try:
        return load()
    except FileNotFoundDatasetsError as error:
        raise NotFoundError(f"{source} is no folder with a dataset and no dataset of the Hub: {error}") from error
    except (DatasetsError, ConnectionError, ValueError) as error:
        raise InputError(f"{source} cannot be read: {error.__cause__ or error}") from error


def _load_imagefolder(folder: str) -> DatasetDict:
    try:
        return load_dataset("imagefolder", data_dir=folder)
    except ValueError:  # raised if only one of the splits has masks: load each split with its own columns
        files = load_dataset_builder("imagefolder", data_dir=folder).config.data_files
        parts = {split: load_dataset("imagefolder", data_files={split: list(files[split])}) for split in files}
        return DatasetDict({split: part[split] for split, part in parts.items()})


def _require_label_column(source: str, features: Mapping[str, Any], column: str) -> None:
    folders = {path.parent for path in Path(source).glob("*/*/*") if column not in features and path.is_file()}
    if len({folder.name for folder in folders}) == 1:  # `datasets` then makes no labels of the folders
        folder = min(folders)
        raise InputError(
            f"{source} has images of one class only, {folder.name!r} ({folder}), so there is nothing to tell it from: "
            "put images without it into a folder beside it, such as 'normal', or write a metadata.jsonl with the label "
            "true or false for each image."
        )
    require_columns(source, features, {"--label_column": column})
    if not is_list(features[column]):
        require_label_type(features[column], column, source)
