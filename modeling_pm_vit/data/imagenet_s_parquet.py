"""ImageNet-1k and the masks of ImageNet-S as sharded parquet with embedded images and masks.

Expected are the official layouts: `train/WNID/NAME.JPEG` and `val/WNID/NAME.JPEG` (or a flat `val` beside Kaggle's
`LOC_val_solution.csv`), and ImageNet-S's `train-semi-segmentation/WNID/NAME.png` and
`validation-segmentation/WNID/NAME.png`, RGB images of R + 256 G = number of the category in the sorted list of WNIDs,
counted from 1; 0 elsewhere, 1000 where it is unknown (Gao et al., TPAMI 2022).
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Value
from datasets import Image as ImageFeature
from PIL import Image
from tqdm import tqdm

from ..utils.errors import InputError, NotFoundError
from ..utils.files import atomic_write, write_text
from .masks import CLASS_ID_IGNORE, IMAGENET_S_IGNORE

SPLITS = {"train": ("train", "train-semi-segmentation"), "validation": ("val", "validation-segmentation")}
ROW_GROUP = 64  # rows that a stream reads at once, about 7 MB


@dataclass
class Row:
    image: Path
    wnid: str
    mask: Path | None


def prepare(
    imagenet: Path, imagenet_s: Path, output: Path, split: str, rows_per_shard: int = 5000, masked_only: bool = False
) -> list[Path]:
    """
    Write the shards of a split that are not there yet, each with its SHA-256 beside it (`sha256sum -c *.sha256`).

    A shard has the columns `image`, `label` (named by the synsets' words if `LOC_synset_mapping.txt` is there, by WNIDs
    if not), `mask` (16-bit class index + 1, 0 elsewhere, 65535 unknown; null for most rows) and `file`. The rows are
    shuffled once, so that a few row groups show many classes.

    Args:
        imagenet, imagenet_s: folders of the official layout.
        output: folder of the shards; another one for each value of `masked_only`.
        masked_only: leave out the images without a mask.

    Returns:
        All shards of the split.

    Raises:
        NotFoundError: if a folder is not where the official layout has it.
        InputError: if a mask does not show its own category, or belongs to no image.
    """
    wnids = sorted(p.name for p in _folder(imagenet / "train").iterdir() if p.is_dir())
    category_wnids = sorted(p.name for p in _folder(imagenet_s / "train-semi-segmentation").iterdir() if p.is_dir())
    rows = [row for row in find_rows(imagenet, imagenet_s, split) if row.mask is not None or not masked_only]
    order = np.random.default_rng(0).permutation(len(rows))
    features = Features(
        {
            "image": ImageFeature(),
            "label": ClassLabel(names=_names(imagenet, wnids)),
            "mask": ImageFeature(),
            "file": Value("string"),
        }
    )
    count = -(-len(rows) // rows_per_shard)
    shards = [output / f"{split}-{number:05}-of-{count:05}.parquet" for number in range(count)]
    with tqdm(total=len(rows), unit="image", desc=split) as progress:
        for number, shard in enumerate(shards):
            chosen = [rows[i] for i in order[number * rows_per_shard : (number + 1) * rows_per_shard]]
            if not _checksum_file(shard).exists():
                _write_shard(shard, chosen, features, wnids, category_wnids)
            progress.update(len(chosen))
    return shards


def verify(shards: list[Path]) -> list[Path]:
    """The shards whose checksum differs from the one that was written with them."""
    return [s for s in tqdm(shards, unit="shard", desc="verifying") if _checksum_file(s).read_text() != _checksum(s)]


def find_rows(imagenet: Path, imagenet_s: Path, split: str) -> list[Row]:
    """All images of a split, sorted, with their masks."""
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}; choose from {', '.join(SPLITS)}.")
    image_folder, mask_folder = _folder(imagenet / SPLITS[split][0]), _folder(imagenet_s / SPLITS[split][1])
    masks = {path.stem: path for path in mask_folder.glob("*/*.png")}
    rows = [Row(path, wnid, masks.pop(path.stem, None)) for path, wnid in _images(imagenet, image_folder)]
    if not rows:
        raise NotFoundError(f"{image_folder} has no images WNID/NAME.JPEG.")
    if masks:
        raise InputError(f"{len(masks)} masks belong to no image of {image_folder}, among them {min(masks.values())}.")
    return rows


def _images(imagenet: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    nested = sorted(folder.glob("*/*.JPEG"))
    if nested:
        yield from ((path, path.parent.name) for path in nested)
        return
    solution = imagenet / "LOC_val_solution.csv"
    flat = sorted(folder.glob("*.JPEG"))
    if flat and not solution.is_file():
        raise NotFoundError(
            f"{folder} has no folders of classes, and {solution}, which would name the classes, does not exist."
        )
    if flat:
        with solution.open(newline="") as file:
            wnid_of = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
        unknown = [path for path in flat if path.stem not in wnid_of]
        if unknown:
            raise InputError(f"{solution} has no class for {unknown[0].name} ({len(unknown)} such images).")
        yield from ((path, wnid_of[path.stem]) for path in flat)


def class_ids(mask: Path, category: str, wnids: list[str], category_wnids: list[str]) -> np.ndarray:
    """A mask of ImageNet-S as a `uint16` map `(height, width)` of ImageNet-1k class + 1, 0, or 65535 for unknown."""
    pixels = np.asarray(Image.open(mask).convert("RGB")).astype(np.int32)
    ids = pixels[..., 0] + 256 * pixels[..., 1]
    table = np.zeros(IMAGENET_S_IGNORE + 1, np.uint16)
    table[1 : len(category_wnids) + 1] = [wnids.index(wnid) + 1 for wnid in category_wnids]
    table[IMAGENET_S_IGNORE] = CLASS_ID_IGNORE
    known = set(range(len(category_wnids) + 1)) | {IMAGENET_S_IGNORE}
    found = set(np.unique(ids).tolist())
    if not found <= known or category_wnids.index(category) + 1 not in found:
        raise InputError(
            f"{mask} holds {sorted(found)[:10]}; expected 0, 1000 and numbers up to {len(category_wnids)}, among them "
            f"{category_wnids.index(category) + 1}, the number of {category} in the sorted list of categories."
        )
    return table[ids]


def _write_shard(shard: Path, rows: list[Row], features: Features, wnids: list[str], category_wnids: list[str]) -> None:
    with (
        atomic_write(shard) as part,
        pq.ParquetWriter(part, features.arrow_schema, compression="none") as writer,
    ):
        for start in range(0, len(rows), ROW_GROUP):
            columns: dict[str, list[Any]] = {name: [] for name in features}
            for row in rows[start : start + ROW_GROUP]:
                columns["image"].append({"bytes": row.image.read_bytes(), "path": row.image.name})
                columns["label"].append(wnids.index(row.wnid))
                columns["mask"].append(_encoded_mask(row, wnids, category_wnids))
                columns["file"].append(row.image.name)
            writer.write_table(pa.table(columns, schema=features.arrow_schema), row_group_size=ROW_GROUP)
    write_text(_checksum_file(shard), _checksum(shard))  # last, so that a shard that has one is whole


def _encoded_mask(row: Row, wnids: list[str], category_wnids: list[str]) -> dict[str, bytes | str] | None:
    if row.mask is None:
        return None
    out = io.BytesIO()
    Image.fromarray(class_ids(row.mask, row.wnid, wnids, category_wnids)).save(out, "png")
    return {"bytes": out.getvalue(), "path": row.mask.name}


def _names(imagenet: Path, wnids: list[str]) -> list[str]:
    mapping = imagenet / "LOC_synset_mapping.txt"
    if not mapping.is_file():
        return wnids
    words = dict(line.split(" ", 1) for line in mapping.read_text(encoding="utf-8").splitlines() if line)
    names = [words[wnid] for wnid in wnids]
    twice = {name for name, count in Counter(names).items() if count > 1}  # there are two cranes
    return [f"{name} ({wnid})" if name in twice else name for name, wnid in zip(names, wnids, strict=True)]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise NotFoundError(f"there is no folder {path}.")
    return path


def _checksum_file(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.sha256")


def _checksum(shard: Path) -> str:
    with shard.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {shard.name}\n"
