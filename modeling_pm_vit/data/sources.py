"""Any `datasets` source by name or path, and the built-in set."""

from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, load_dataset

from .synthetic import synthetic_dataset


def load_split(
    source: str,
    split: str,
    size: int | None = None,
    mask_fraction: float = 1.0,
    seed: int = 0,
    label_column: str = "label",
) -> Dataset:
    """
    Args:
        source: `"synthetic"`, a dataset of the Hub, or a local folder: an imagefolder, or one of parquet files named
            after their splits.
        split: name of the split.
        size: at most so many rows; for the synthetic set how many to draw (default 1,000).
        mask_fraction, seed: of the synthetic set.
        label_column: its values, if they are no `ClassLabel` yet, are sorted over all splits and become the classes.

    Raises:
        FileNotFoundError: if a local path is meant and is not there.
        ValueError: if there is no such split; names those that are.
    """
    if source == "synthetic":
        return synthetic_dataset(split, size or 1000, mask_fraction=mask_fraction, seed=seed)
    path = Path(source)
    if path.is_dir():
        parquet = {file.name.split(".")[0].split("-")[0] for file in path.glob("*.parquet")}
        if parquet:
            files = {name: [str(f) for f in sorted(path.glob(f"{name}*.parquet"))] for name in parquet}
            dataset = load_dataset("parquet", data_files=files)
        else:
            dataset = load_dataset("imagefolder", data_dir=str(path))
    elif source.startswith((".", "/", "~")):
        raise FileNotFoundError(f"there is no folder {source}.")
    else:
        dataset = load_dataset(source)
    assert isinstance(dataset, DatasetDict)
    if split not in dataset:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(dataset)}.")
    names = None
    if not isinstance(dataset[split].features.get(label_column), ClassLabel):
        if label_column not in dataset[split].features:
            columns = ", ".join(dataset[split].features)
            raise ValueError(f"{source} has no column {label_column!r}; its columns are {columns}.")
        names = sorted({str(label) for part in dataset.values() for label in part.unique(label_column)})
    dataset = dataset[split]
    if names:
        dataset = dataset.cast_column(label_column, ClassLabel(names=names))
    return dataset if size is None else dataset.select(range(min(size, len(dataset))))
