"""Any `datasets` source by name or path, and the built-in set."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, load_dataset, load_dataset_builder
from datasets import Image as ImageFeature
from datasets.exceptions import DatasetGenerationError

from .shard_readers import ParquetRows, TarRows, class_label, row_groups, usable_shards
from .synthetic import synthetic_dataset


class Rows(Protocol):
    """A dataset whose rows can be read by number, images and masks still encoded."""

    name: str  # for messages
    features: Mapping  # the label column is a `ClassLabel`
    blocks: Sequence[int] | None  # lengths of the parts that are read at once; None: any row costs the same

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict: ...
    def rows_with(self, column: str) -> np.ndarray:
        """The rows, ascending, in which a column holds something."""
        ...


class DatasetRows:
    """The rows of a `datasets.Dataset`."""

    blocks = None

    def __init__(self, dataset: Dataset, name: str):
        self.name, self.features = name, dataset.features
        for column, feature in dataset.features.items():
            if isinstance(feature, ImageFeature):
                dataset = dataset.cast_column(column, ImageFeature(decode=False))
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        return self.dataset[index]

    def rows_with(self, column: str) -> np.ndarray:
        parts = self.dataset.select_columns(column).with_format("arrow").iter(10_000)
        return np.flatnonzero(np.concatenate([[], *(part.column(column).is_valid() for part in parts)]))


class FewMasks:
    """
    Rows of which only a few keep their mask, evenly spread.

    Args:
        column: of the masks.
        fraction: of the rows that keep theirs, in [0, 1].
    """

    def __init__(self, rows: Rows, column: str, fraction: float):
        if not 0 <= fraction <= 1:
            raise ValueError(f"the share of the images whose mask is used must lie in [0, 1], got {fraction}.")
        self.rows, self.column, self.fraction = rows, column, fraction
        self.name, self.features, self.blocks = rows.name, rows.features, rows.blocks

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        return row if self._keeps(index) else row | {self.column: None}

    def rows_with(self, column: str) -> np.ndarray:
        found = self.rows.rows_with(column)
        return found[self._keeps(found)] if column == self.column else found

    def _keeps(self, index: int | np.ndarray):
        return np.floor((index + 1) * self.fraction) > np.floor(index * self.fraction)


class RowsWith:
    """
    Of some rows those in which a column holds something.

    Raises:
        ValueError: if the rows are read block by block, where single ones cost a block each.
    """

    blocks = None

    def __init__(self, rows: Rows, column: str):
        if rows.blocks is not None:
            raise ValueError(
                f"{rows.name} is read block by block, so its rows with a {column!r} cannot be drawn more often: give "
                "them as a second dataset with --mask_data."
            )
        self.rows, self.indices = rows, rows.rows_with(column)
        self.name, self.features = f"{rows.name}, rows with a {column!r}", rows.features

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict:
        return self.rows[int(self.indices[index])]

    def rows_with(self, column: str) -> np.ndarray:
        return np.flatnonzero(np.isin(self.indices, self.rows.rows_with(column)))


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
    As [`load_split`], but rows that are not decoded yet. WebDataset tar files, and with `streaming` parquet files, are
    read where they are, and nothing is copied or held but a few blocks of them.

    Args:
        source: of shards to be read where they are: a folder with files named after their splits, or a file or pattern
            that fsspec knows, in which `{split}` stands for the split (`hf://datasets/NAME/data/{split}-*.parquet`).
        skip_bad_shards: leave out shards that are empty or cannot be read, with a warning; else they raise.

    Raises:
        ValueError: if there is no such split or column, or a shard is bad; says which.
    """
    files = [] if source == "synthetic" else _shards(source, split, ".tar")
    if files:
        return TarRows(files, size, label_column, skip_bad_shards)
    if not streaming or source == "synthetic":
        try:
            dataset = load_split(source, split, size, mask_fraction, 0, label_column, skip_bad_shards)
            return DatasetRows(dataset, f"{source} ({split})")
        except DatasetGenerationError as error:
            raise ValueError(f"{source} cannot be read: {error.__cause__ or error}") from error
    files = _shards(source, split, ".parquet")
    if files:
        return ParquetRows(files, size, label_column, skip_bad_shards)
    raise ValueError(f"{source} has no parquet or tar files of the split {split!r} to be streamed.")


def _shards(source: str, split: str, suffix: str) -> list[str]:
    if "://" in source or source.endswith(suffix):
        from fsspec.core import url_to_fs

        filesystem, pattern = url_to_fs(source.replace("{split}", split))
        found = filesystem.glob(pattern) if "*" in pattern else [pattern]
        return sorted(filesystem.unstrip_protocol(path) for path in found if path.endswith(suffix))
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
        size: at most so many rows; for the synthetic set how many to draw (default 1,000).
        mask_fraction, seed: of the synthetic set.
        label_column: its values over all splits, if they are no `ClassLabel` yet, become the classes (see
            [`class_label`]); `None` where classes do not matter.
        skip_bad_shards: leave out parquet files that are empty or cannot be read, with a warning; else they raise.

    Raises:
        FileNotFoundError: if a local path is meant and is not there.
        ValueError: if there is no such split; names those that are. If a parquet file is bad; names it.
    """
    if source == "synthetic":
        return synthetic_dataset(split, size or 1000, mask_fraction=mask_fraction, seed=seed)
    dataset = _load(source, skip_bad_shards)
    split, fold = _fold(split)
    if split not in dataset:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(dataset)}.")
    classes = None
    if label_column is not None and not isinstance(dataset[split].features.get(label_column), ClassLabel):
        _require_column(source, dataset[split].features, label_column)
        classes = class_label(label for part in dataset.values() for label in part.unique(label_column))
    dataset = dataset[split]
    if classes:
        dataset = dataset.cast_column(label_column, classes)
    if fold:
        dataset = dataset.select(fold(len(dataset)))
    return dataset if size is None else dataset.select(range(min(size, len(dataset))))


def _fold(split: str) -> tuple[str, Callable[[int], list[int]] | None]:
    """The split, and which of its rows are asked for: of `train[0/5]` every fifth, of `train[!0/5]` the others."""
    match = re.fullmatch(r"(.+)\[(!?)(\d+)/(\d+)\]", split)
    if not match:
        return split, None
    name, others, part, parts = match[1], bool(match[2]), int(match[3]), int(match[4])
    if not part < parts:
        raise ValueError(f"{split}: the part must lie in 0 ... {parts - 1}, got {part}.")
    return name, lambda rows: [row for row in range(rows) if (row % parts == part) != others]


def _load(source: str, skip_bad_shards: bool) -> DatasetDict:
    path = Path(source)
    if path.is_dir():
        splits = {file.name.split(".")[0].split("-")[0] for file in path.glob("*.parquet")}
        if splits:
            shards = {name: [str(f) for f in sorted(path.glob(f"{name}*.parquet"))] for name in splits}
            files = {name: list(usable_shards(found, skip_bad_shards, row_groups)) for name, found in shards.items()}
            return load_dataset("parquet", data_files=files)
        return _load_imagefolder(str(path))
    if source.startswith((".", "/", "~")):
        raise FileNotFoundError(f"there is no folder {source}.")
    return load_dataset(source)


def _load_imagefolder(folder: str) -> DatasetDict:
    try:
        return load_dataset("imagefolder", data_dir=folder)
    except ValueError:  # as it is if only one of the splits has masks; each on its own may have its own columns
        files = load_dataset_builder("imagefolder", data_dir=folder).config.data_files
        parts = {split: load_dataset("imagefolder", data_files={split: list(files[split])}) for split in files}
        return DatasetDict({split: part[split] for split, part in parts.items()})


def _require_column(source: str, features: Features | Mapping, column: str) -> None:
    if column not in features:
        raise ValueError(f"{source} has no column {column!r}; its columns are {', '.join(features)}.")
