"""Two photographs of different classes side by side, to see whether a map tells which is which."""

import numpy as np
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from ..image_processing_pm_vit import load_image
from .masks import MaskEncoding, decode_mask


def side_by_side(
    dataset: Dataset, encoding: MaskEncoding, mask_column: str = "mask", count: int = 60, side: int = 224, seed: int = 0
) -> Dataset:
    """
    Args:
        dataset: with the columns `image`, `label` (a `ClassLabel`) and masks of each image's own class.
        encoding: of the masks.
        count: number of pairs, drawn at random with `seed`.
        side: of either photograph, which is resized to a square, in pixels.

    Returns:
        A dataset with `image` (2 side x side), `label` (of the left photograph) and `mask` (class index + 1).

    Raises:
        ValueError: if the dataset has images of one class only.
    """
    labels = np.array(dataset["label"])
    if len(set(labels)) < 2:
        raise ValueError("pairs need images of at least two classes.")
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {"image": [], "label": [], "mask": []}
    while len(rows["image"]) < count:
        chosen = rng.integers(len(dataset), size=2)
        if labels[chosen[0]] == labels[chosen[1]]:
            continue
        image, mask = Image.new("RGB", (2 * side, side)), Image.new("L", (2 * side, side))
        for position, index in enumerate(chosen):
            row = dataset[int(index)]
            photograph = load_image(row["image"])
            size = (photograph.height, photograph.width)
            _, planes = decode_mask(row[mask_column], encoding, row["label"], size)
            ids = Image.fromarray(planes.any(0).astype(np.uint8) * (row["label"] + 1))
            image.paste(photograph.resize((side, side)), (position * side, 0))
            mask.paste(ids.resize((side, side), Image.Resampling.NEAREST), (position * side, 0))
        rows["image"].append(image)
        rows["label"].append(int(labels[chosen[0]]))
        rows["mask"].append(mask)
    features = {"image": ImageFeature(), "label": dataset.features["label"], "mask": ImageFeature()}
    return Dataset.from_dict(rows, Features(features))
