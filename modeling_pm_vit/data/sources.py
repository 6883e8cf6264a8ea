"""Any `datasets` source by name or path, and the built-in set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from datasets import ClassLabel, Dataset, DatasetDict, Features, load_dataset
from datasets import Image as ImageFeature
from datasets.exceptions import DatasetGenerationError

from .shards import ParquetRows, TarRows, class_label
from .synthetic import synthetic_dataset


class Rows(Protocol):
    """A dataset whose rows can be read by number, images and masks still encoded."""

    name: str  # for messages
    features: Mapping  # the label column is a `ClassLabel`
    blocks: Sequence[int] | None  # lengths of the parts that are read at once; None: any row costs the same

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict: ...
    def share_with(self, column: str) -> float:
        """The share of the rows in which a column holds something."""
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

    def share_with(self, column: str) -> float:
        return 1 - self.dataset.data.column(column).null_count / max(1, len(self))


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
            return DatasetRows(load_split(source, split, size, mask_fraction, 0, label_column), f"{source} ({split})")
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
) -> Dataset:
    """
    Args:
        source: `"synthetic"`, a dataset of the Hub, or a local folder: an imagefolder, or one of parquet files named
            after their splits.
        split: name of the split.
        size: at most so many rows; for the synthetic set how many to draw (default 1,000).
        mask_fraction, seed: of the synthetic set.
        label_column: its values over all splits, if they are no `ClassLabel` yet, become the classes (see
            [`class_label`]); `None` where classes do not matter.

    Raises:
        FileNotFoundError: if a local path is meant and is not there.
        ValueError: if there is no such split; names those that are.
    """
    if source == "synthetic":
        return synthetic_dataset(split, size or 1000, mask_fraction=mask_fraction, seed=seed)
    dataset = _load(source)
    if split not in dataset:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(dataset)}.")
    classes = None
    if label_column is not None and not isinstance(dataset[split].features.get(label_column), ClassLabel):
        _require_column(source, dataset[split].features, label_column)
        classes = class_label(label for part in dataset.values() for label in part.unique(label_column))
    dataset = dataset[split]
    if classes:
        dataset = dataset.cast_column(label_column, classes)
    return dataset if size is None else dataset.select(range(min(size, len(dataset))))


def _load(source: str) -> DatasetDict:
    path = Path(source)
    if path.is_dir():
        splits = {file.name.split(".")[0].split("-")[0] for file in path.glob("*.parquet")}
        if splits:
            files = {name: [str(f) for f in sorted(path.glob(f"{name}*.parquet"))] for name in splits}
            return load_dataset("parquet", data_files=files)
        return load_dataset("imagefolder", data_dir=str(path))
    if source.startswith((".", "/", "~")):
        raise FileNotFoundError(f"there is no folder {source}.")
    return load_dataset(source)


def _require_column(source: str, features: Features | Mapping, column: str) -> None:
    if column not in features:
        raise ValueError(f"{source} has no column {column!r}; its columns are {', '.join(features)}.")
