"""Synthetic rows for benchmarks: JPEG photographs in parquet, from one seed."""

import io
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image


def write_rows(
    folder: Path, count: int, size: tuple[int, int], name: str = "train", mask_every: int | None = None, seed: int = 0
) -> str:
    """
    Write smooth pictures as JPEG, of two classes, in row groups of 64; with `mask_every` N, each N-th has an ellipse as
    mask.

    Args:
        size: (height, width) in pixels.

    Returns:
        The path of the file, `name.parquet`.
    """
    rng = np.random.default_rng(seed)
    data: dict[str, list] = {"image": [], "label": [], "mask": []}
    y, x = np.ogrid[: size[0], : size[1]]
    ellipse = (2 * y / size[0] - 1) ** 2 + (2 * x / size[1] - 1) ** 2 < 0.5
    mask = {"bytes": _encoded(Image.fromarray(ellipse.astype(np.uint8)), "png"), "path": None}
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
        image = _encoded(coarse.resize(size[::-1], Image.Resampling.BICUBIC), "jpeg", quality=90)
        data["image"].append({"bytes": image, "path": None})
        data["label"].append(i % 2)
        data["mask"].append(mask if mask_every and i % mask_every == 0 else None)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["a", "b"]), "mask": ImageFeature()})
    path = folder / f"{name}.parquet"
    Dataset.from_dict(data, features).to_parquet(str(path), batch_size=64)
    return str(path)


def _encoded(image: Image.Image, form: str, **settings) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **settings)
    return out.getvalue()
