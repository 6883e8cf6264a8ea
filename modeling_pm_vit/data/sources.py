"""Opens a dataset by its name or path: a Hub id, a local folder, files to stream, or the built-in set."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetsError, FileNotFoundDatasetsError

from ..utils.errors import InputError, NotFoundError
from ..utils.hub import asking_once, require_path
from .class_views import with_class_names
from .classes import class_label, require_label_type
from .columns import require_columns
from .groups import group_parts
from .label_columns import has_classes, is_list, typed_lists
from .rows import DatasetRows, Rows, SelectedRows
from .shard_readers import ParquetRows, TarRows
from .shards import column_types, one_line, read_all, row_groups, usable_shards
from .synthetic import synthetic_dataset

SYNTHETIC = "synthetic"  # the name of the built-in images
_SUFFIXES = (".tar", ".parquet")


def open_rows(
    source: str,
    split: str,
    size: int | None = None,
    streaming: bool = False,
    label_column: str | None = "label",
    mask_fraction: float = 1.0,
    skip_bad_shards: bool = False,
    class_names: Sequence[str] = (),
    group_column: str | None = None,
) -> Rows:
    """
    As [`load_split`], but with images and masks still encoded. WebDataset tar files, and with `streaming` parquet
    files, are read where they are: nothing is copied, and only a few blocks of them are in memory.

    Args:
        source: as for [`load_split`]; also a folder of tar files named after their splits, or such a file or pattern.
        skip_bad_shards: leave out shards that are empty or cannot be read, with a warning, instead of raising.
        class_names: of the label column, in the order in which integer labels and masks number the classes; by
            default integers are their own names, and texts are sorted.
        group_column: of images that belong together: a part of a split, as in `train[0/5]`, then has whole groups, as
            [`group_parts`] divides them.

    Raises:
        InputError: if there is no such split or column, a shard cannot be read, or a label is none of the names.
        NotFoundError: if there is no such dataset.
    """
    name, part = _part(split)
    files = [] if source == SYNTHETIC else shard_files(source, name)
    rows: Rows
    if files and files[0].endswith(".tar"):
        rows = TarRows(files, None if part else size, label_column, skip_bad_shards)
    elif files and streaming:
        rows = ParquetRows(files, None if part else size, label_column, skip_bad_shards)
    elif streaming and source != SYNTHETIC:
        raise InputError(f"{source} has no parquet or tar files of the split {name!r}, which streaming needs.")
    else:
        dataset = load_split(source, name, None if part else size, mask_fraction, 0, label_column, skip_bad_shards)
        rows = DatasetRows(dataset, f"{source} ({split})")
    if part:
        part_of = np.arange(len(rows)) % part.count
        if group_column is not None:
            part_of = group_parts(rows, group_column, label_column, part.count)
        rows = SelectedRows(rows, part.rows(part_of)[:size])
    if not len(rows):
        raise InputError(f"{source} has no rows in the split {split!r}.")
    return with_class_names(rows, label_column, class_names)


def shard_files(source: str, split: str) -> list[str]:
    """
    The parquet or tar files of a split, sorted: those of a folder that are named after it, or a file, URL or pattern,
    in which `{split}` stands for the split. Without `{split}` they are the rows of any split.
    """
    if is_file_source(source):
        from fsspec.core import url_to_fs

        filesystem, pattern = url_to_fs(source.replace("{split}", split))
        paths = filesystem.glob(pattern) if "*" in pattern else [pattern]
        found = sorted(filesystem.unstrip_protocol(path) for path in paths if path.endswith(_SUFFIXES))
        if not found or ("*" not in pattern and not filesystem.exists(pattern)):
            raise NotFoundError(f"there is no file {source.replace('{split}', split)}.")
        return [path.removeprefix("file://") for path in found]
    return _named_files(Path(source)).get(split, [])


def is_file_source(source: str) -> bool:
    """Whether a source names files, not a folder or a dataset of the Hub."""
    return "://" in source or "*" in source or source.endswith(_SUFFIXES)


def is_single(source: str) -> bool:
    """Whether the rows of a source are those of any split."""
    return is_file_source(source) and "{split}" not in source


def _named_files(folder: Path) -> dict[str, list[str]]:
    """
    The tar files of a folder, else its parquet files, by split: `train.parquet`, `train-00000-of-00002.parquet`,
    `train0001.tar`.
    """
    for suffix in _SUFFIXES:
        splits: dict[str, list[str]] = {}
        for file in sorted(folder.glob(f"*{suffix}")) or sorted(folder.glob(f"data/*{suffix}")):
            splits.setdefault(re.sub(r"(-\d.*|(?<!\d)_?0\d*(-.*)?)$", "", file.name.split(".")[0]), []).append(
                str(file)
            )
        if splits:
            return splits
    return {}


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
        source: `"synthetic"`, a dataset of the Hub, a folder (an imagefolder, or one of parquet files named after
            their splits), or a parquet file, or a URL or pattern of such, in which `{split}` stands for the split
            (`hf://datasets/NAME/data/{split}-*.parquet`). Without `{split}` its rows are those of any split.
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
    if source == SYNTHETIC:
        return synthetic_dataset(split, size or 1000, mask_fraction=mask_fraction, seed=seed)
    split, part = _part(split)
    splits = _load(source, split, skip_bad_shards)
    if split not in splits:
        what = "images in its folder" if Path(source, split).is_dir() else "split"
        raise InputError(f"{source} has no {what} {split!r}; it has {', '.join(map(str, splits)) or 'none'}.")
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
    if part:
        dataset = dataset.select(part.rows(np.arange(len(dataset)) % part.count))
    return dataset if size is None else dataset.select(range(min(size, len(dataset))))


@dataclass(frozen=True)
class _Part:
    """One of `count` parts of a split, or all `others`."""

    number: int
    count: int
    others: bool

    def rows(self, part_of: np.ndarray) -> np.ndarray:
        """From the part of each row to the rows of this one, ascending."""
        return np.flatnonzero((part_of == self.number) != self.others)


def _part(split: str) -> tuple[str, _Part | None]:
    """The split and the part of it: `train[0/5]` is every fifth row, `train[!0/5]` all others."""
    match = re.fullmatch(r"(.+)\[(!?)(\d+)/(\d+)\]", split)
    if not match:
        return split, None
    name, others, number, count = match[1], bool(match[2]), int(match[3]), int(match[4])
    if not number < count:
        raise InputError(f"{split}: the part must lie in 0 ... {count - 1}, got {number}.")
    return name, _Part(number, count, others)


def _load(source: str, split: str, skip_bad_shards: bool) -> DatasetDict:
    """The splits of a source; of files that `{split}` names the one that is asked for."""
    files = {split: shard_files(source, split)} if is_file_source(source) else _named_files(Path(source))
    if files and any(found[0].endswith(".tar") for found in files.values()):
        raise InputError(f"{source} has no tar files of the split {split!r}; it has {', '.join(files)}.")
    if files:
        return _load_parquet(source, files, skip_bad_shards)
    if require_path(source, "folder"):
        return _read(source, lambda: _load_imagefolder(source))
    with asking_once(source):
        return _read(source, lambda: load_dataset(source))


def _load_parquet(source: str, files: Mapping[str, Sequence[str]], skip_bad_shards: bool) -> DatasetDict:
    def load(shards: Mapping[str, Sequence[str]]) -> DatasetDict:
        return _read(source, lambda: DatasetDict({name: _load_files(found) for name, found in shards.items()}))

    usable = {name: list(usable_shards(found, skip_bad_shards, row_groups)) for name, found in files.items()}
    try:
        return load(usable)
    except InputError:  # a file whose footer can be read may have a part that cannot: find it, which reads all of them
        whole = {name: list(usable_shards(found, skip_bad_shards, read_all)) for name, found in usable.items()}
        if whole == usable:
            raise
        return load(whole)


def _load_files(files: Sequence[str]) -> Dataset:
    """Of one split. A file may lack a column, whose values are then `None`."""
    alike: dict[str, list[str]] = {}
    for file in files:
        alike.setdefault(column_types(file), []).append(file)
    parts = [load_dataset("parquet", data_files={"rows": found}, split="rows") for found in alike.values()]
    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)


def _read(source: str, load: Callable[[], DatasetDict]) -> DatasetDict:
    """What `load` returns; errors of `datasets` name the source."""
    try:
        return load()
    except FileNotFoundDatasetsError as error:
        raise NotFoundError(f"{source} is no folder with a dataset and no dataset of the Hub: {error}") from error
    except (DatasetsError, ConnectionError) as error:
        if "Couldn't reach" in str(error):
            raise NotFoundError(
                f"there is no folder {source}, and the Hub cannot be reached to look for a dataset of this name."
            ) from error
        raise InputError(f"{source} cannot be read: {one_line(error.__cause__ or error)}.") from error
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise InputError(f"{source} cannot be read: {one_line(error.__cause__ or error)}.") from error


def _load_imagefolder(folder: str) -> DatasetDict:
    try:
        return load_dataset("imagefolder", data_dir=folder)
    except ValueError:  # raised if only one of the splits has masks, or one has no images: load each by itself
        found = load_dataset_builder("imagefolder", data_dir=folder).config.data_files
        files = {split: list(paths) for split, paths in found.items()}
        files = {split: paths for split, paths in files.items() if any(not _is_metadata(path) for path in paths)}
        parts = {split: load_dataset("imagefolder", data_files={split: paths}) for split, paths in files.items()}
        return DatasetDict({split: part[split] for split, part in parts.items()})


def _is_metadata(path: str) -> bool:
    return Path(path).name.startswith("metadata.")


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
