"""From a row of a dataset to a training or evaluation example: image and masks move together."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from ..image_processing_pm_vit import IGNORE, PMViTImageProcessor, load_image
from .masks import MaskEncoding, decode_mask, ignored_pixels
from .randaugment import RandAugment

_MOST_OPEN = 0.05  # of a patch whose mask counts as known: what smoothing lets in from a neighbour is less


class ExampleTransform:
    """
    Rows to examples of `pixel_values`, `labels`, `mask_labels` `(K, h, w)`, the fraction of each patch that the mask of
    a class covers, and `explain_labels` `(K,)`; K = 0 where a row has no mask. A crop that loses the object leaves an
    empty mask, not an unknown one. A patch that the mask leaves open, by more than a
    twentieth, is -100.

    Args:
        processor: gives size, patch size and normalisation.
        encoding: of the mask column.
        augment: random crop, flip, RandAugment and colour for training; else what the processor does at inference.
        num_labels: number of the dataset's classes, to check labels and masks against.
        label_map: for each of them its index among the model's classes; by default the same (see [`matched_classes`]).
        min_scale: smallest share of the image that a crop keeps.
        colour_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
        rand_augment: magnitude of two operations of [`RandAugment`], in 0 ... 30; 0 for none.
        image_column, label_column, mask_column: names; `mask_column=None` for no masks at all. Images and masks may be
            encoded (bytes, a path, or the dictionary of an undecoded `datasets.Image`).
    """

    def __init__(
        self,
        processor: PMViTImageProcessor,
        encoding: MaskEncoding = "binary",
        augment: bool = False,
        num_labels: int | None = None,
        label_map: Sequence[int] | None = None,
        min_scale: float = 0.35,
        colour_jitter: float = 0.3,
        rand_augment: int = 0,
        image_column: str = "image",
        label_column: str = "label",
        mask_column: str | None = "mask",
    ):
        self.processor, self.encoding, self.num_labels, self.label_map = processor, encoding, num_labels, label_map
        self.image_column, self.label_column, self.mask_column = image_column, label_column, mask_column
        patch = processor.patch_size
        self.patch = (patch, patch) if isinstance(patch, int) else tuple(patch)
        self.size = (processor.size.height, processor.size.width)
        if None in self.size:
            raise ValueError(f"training needs a processor with a height and a width, got size={processor.size}.")
        self.geometry = self.photometry = None
        if augment:
            self.geometry = v2.Compose(
                [
                    v2.RandomResizedCrop(self.size, scale=(min_scale, 1), antialias=True),
                    v2.RandomHorizontalFlip(),
                    *([RandAugment(magnitude=rand_augment)] if rand_augment else []),
                ]
            )
            self.photometry = v2.Compose(
                [
                    *([v2.ColorJitter(*[colour_jitter] * 3)] if colour_jitter else []),
                    v2.ToDtype(torch.float32, scale=True),
                    v2.Normalize(processor.image_mean, processor.image_std),
                ]
            )

    def __call__(self, row: dict) -> dict:
        """
        Raises:
            ValueError, OSError: if the image cannot be read, the label is not one of the classes, or the mask is not
                of the image's size or names other classes.
        """
        label = self._checked(row[self.label_column], "the label")
        image = load_image(opened(row[self.image_column]))
        size = (image.height, image.width)
        mask = opened(row.get(self.mask_column)) if self.mask_column else None
        classes, planes = decode_mask(mask, self.encoding, label, size)
        for c in classes:
            self._checked(c, "the mask's class")
        ignored = ignored_pixels(mask, self.encoding, size)
        if ignored is not None:
            planes = np.concatenate((planes, ignored[None].astype(np.uint8)))
        pixel_values, fractions = (
            self._inference(image, planes) if self.geometry is None else self._moved(image, planes)
        )
        if ignored is not None:
            fractions, unknown = fractions[:-1], fractions[-1] > _MOST_OPEN
            fractions = fractions.masked_fill(unknown, float(IGNORE))
        return {
            "pixel_values": pixel_values,
            "labels": self._mapped(label),
            "mask_labels": fractions,
            "explain_labels": torch.tensor([self._mapped(c) for c in classes], dtype=torch.long),
        }

    def model_label(self, label: int) -> int:
        """The model's class of a row's label; raises as a call does."""
        return self._mapped(self._checked(label, "the label"))

    def blank(self) -> dict:
        """An example that adds nothing to a loss or a figure."""
        grid = [side // patch for side, patch in zip(self.size, self.patch, strict=True)]
        return {
            "pixel_values": torch.zeros(3, *self.size),
            "labels": IGNORE,
            "mask_labels": torch.zeros(0, *grid),
            "explain_labels": torch.zeros(0, dtype=torch.long),
        }

    def _checked(self, label, what: str) -> int:
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
            raise ValueError(f"{what} must be the index of a class, got {label!r}.")
        if label < 0 or (self.num_labels is not None and label >= self.num_labels):
            last = "" if self.num_labels is None else f" ... {self.num_labels - 1}"
            raise ValueError(f"{what} must lie in 0{last}, got {label}.")
        return int(label)

    def _mapped(self, label: int) -> int:
        return label if self.label_map is None else self.label_map[label]

    def _inference(self, image: Image.Image, planes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = self.processor(image, planes, list(range(len(planes))), return_tensors="pt")
        return inputs["pixel_values"][0], inputs["mask_labels"][0][: len(planes)]

    def _moved(self, image: Image.Image, planes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        # Channels of one tensor, so that they cannot but move together; smoothly, so that fractions stay exact.
        image = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        moved = self.geometry(torch.cat((image, torch.from_numpy(planes) * 255)))  # (3 + K, height, width)
        covered = moved[3:].unsqueeze(1) / 255
        return self.photometry(moved[:3]), nn.functional.avg_pool2d(covered, self.patch).squeeze(1)


def opened(value):
    """What an image or mask column holds, decoded if it is an encoded image; `None` if it holds nothing."""
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        value = value["bytes"] if value["bytes"] is not None else value["path"]
        value = Path(value) if isinstance(value, str) else value
    if isinstance(value, (bytes, Path)):
        image = Image.open(io.BytesIO(value) if isinstance(value, bytes) else value)
        image.load()
        return image
    return value


def matched_classes(names: Sequence[str], known: Sequence[str], source: str) -> list[int] | None:
    """For each class of a source its index among the known ones; `None` where they are the same anyway."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{source} has classes that the training set has not: {', '.join(unknown[:10])}.")
    return None if list(names) == list(known) else [list(known).index(name) for name in names]


def class_names(features: Mapping, label_column: str = "label") -> list[str]:
    """The names of the classes, from a dataset's label column."""
    names = getattr(features.get(label_column), "names", None)
    if not names:
        raise ValueError(f"the column {label_column!r} must be a ClassLabel; the columns are {dict(features)}.")
    return names
