"""From a row of a dataset to a training or evaluation example: image and masks are transformed together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from ..explanation_pm_vit import IGNORE
from ..image_loading_pm_vit import load_image
from ..image_processing_pm_vit import PMViTImageProcessor
from ..utils.errors import InputError
from .classes import ClassMap, model_class
from .decoding import decode_value
from .masks import MaskEncoding, MaskFormat, decode_mask
from .multi_label import LabelVectors
from .randaugment import RandAugment

_MAX_UNKNOWN = 0.05  # of a patch whose mask counts as known: more than interpolation brings in from a neighbour


class ExampleTransform:
    """
    Makes examples of rows. An example has `pixel_values`, `labels`, `mask_labels` `(K, h, w)`, the fraction of each
    patch that the mask of a class covers, and `explain_labels` `(K,)`, those classes. K = 0 for a row without a mask. A
    crop that loses the object gives an empty mask, not an unknown one. A patch that is more than 5 % unknown is -100,
    and so is the mask of a class that the image has, or may have, and its mask does not show. With `several`, `labels`
    is a vector of all classes.

    Args:
        processor: gives size, patch size and normalisation.
        masks: how the mask column is read.
        augment: for training: random crop, flip, RandAugment and colour jitter; otherwise the processor is used, as
            for inference.
        classes: of the dataset and of the model, which labels and masks are checked against and mapped by; `None`: any
            index is a class, and the same in the model.
        several: reads the labels of rows that can show several classes, or none; `None`: each row shows one.
        min_scale: smallest fraction of the image area that a crop keeps.
        colour_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
        rand_augment: magnitude of two operations of [`RandAugment`], in 0 ... 30; 0 for none.
        image_column, label_column, mask_column: names; `mask_column=None` for no masks. Images and masks may be
            encoded (see [`decode_value`]). A row may lack the mask column.
    """

    def __init__(
        self,
        processor: PMViTImageProcessor,
        masks: MaskFormat | MaskEncoding = "binary",
        augment: bool = False,
        classes: ClassMap | None = None,
        several: LabelVectors | None = None,
        min_scale: float = 0.35,
        colour_jitter: float = 0.3,
        rand_augment: int = 0,
        image_column: str = "image",
        label_column: str = "label",
        mask_column: str | None = "mask",
    ):
        self.processor, self.masks, self.classes, self.several = processor, masks, classes, several
        self.image_column, self.label_column, self.mask_column = image_column, label_column, mask_column
        patch = processor.patch_size
        rows, columns = (patch, patch) if isinstance(patch, int) else patch
        self.patch = (rows, columns)
        self.size: tuple[int, int] = (processor.size.height, processor.size.width)
        if None in self.size:
            raise InputError(f"training needs an image processor with a height and a width, got size={processor.size}.")
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

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """
        Raises:
            InputError, OSError: if the row has no image or label column, the image cannot be read, the label is not one
                of the classes, or the mask is not of the image's size or shows another class than the dataset has.
        """
        label = self.labels(row)  # checked before the image is read
        image = self.image(row)
        size = (image.height, image.width)
        value = decode_value(row.get(self.mask_column)) if self.mask_column else None
        if isinstance(label, torch.Tensor):
            assert self.several is not None  # else `labels` returns a number
            shown, planes, ignored = self.several.decode_mask(value, self.masks, label, size)
        else:
            shown, planes, ignored = decode_mask(value, self.masks, row[self.label_column], size, self.classes)
        if ignored is not None:
            planes = np.concatenate((planes, ignored[None].astype(np.uint8)))
        pixel_values, fractions = self._preprocess(image, planes)
        if ignored is not None:
            fractions, unknown = fractions[:-1], fractions[-1] > _MAX_UNKNOWN
            fractions = fractions.masked_fill(unknown, float(IGNORE))
        if shown:
            possible = (label != 0).nonzero().flatten().tolist() if isinstance(label, torch.Tensor) else [label]
            unseen = [c for c in possible if c not in shown]
            shown = [*shown, *unseen]
            fractions = torch.cat((fractions, torch.full((len(unseen), *fractions.shape[1:]), float(IGNORE))))
        return {
            "pixel_values": pixel_values,
            "labels": label,
            "mask_labels": fractions,
            "explain_labels": torch.tensor(shown, dtype=torch.long),
        }

    def image(self, row: Mapping[str, Any]) -> Image.Image:
        """The row's image in RGB, not transformed; raises as a call does."""
        value = decode_value(_value(row, self.image_column))
        if value is None:
            raise InputError(f"its column {self.image_column!r} is empty.")
        return load_image(value)

    def labels(self, row: Mapping[str, Any]) -> int | torch.Tensor:
        """The model's class of a row, or with `several` the vector of its labels; raises as a call does."""
        value = _value(row, self.label_column)
        return model_class(value, self.classes) if self.several is None else self.several.of(value)

    def model_label(self, row: Mapping[str, Any]) -> int:
        """
        The model's class of a row, the first of several.

        Raises:
            InputError: if it has none.
        """
        labels = self.labels(row)
        if isinstance(labels, int):
            return labels
        if not (labels > 0).any():
            raise InputError("no class is known to be in the image.")
        return int((labels > 0).float().argmax())

    def padding_sample(self) -> dict[str, Any]:
        """An example that is excluded from losses and metrics: its labels are -100 and it has no mask."""
        grid = [side // patch for side, patch in zip(self.size, self.patch, strict=True)]
        return {
            "pixel_values": torch.zeros(3, *self.size),
            "labels": IGNORE if self.several is None else torch.full((self.several.num_labels,), float(IGNORE)),
            "mask_labels": torch.zeros(0, *grid),
            "explain_labels": torch.zeros(0, dtype=torch.long),
        }

    def _preprocess(self, image: Image.Image, planes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixel values `(3, H, W)`, and of binary planes `(K, height, width)` the covered fractions `(K, h, w)`."""
        if self.geometry is None or self.photometry is None:
            inputs = self.processor(image, planes, list(range(len(planes))), return_tensors="pt")
            return inputs["pixel_values"][0], inputs["mask_labels"][0][: len(planes)]
        # Image and masks are channels of one tensor, so that one random crop and flip applies to all of them. Masks are
        # interpolated, not rounded, so that the fractions stay exact.
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        stack = self.geometry(torch.cat((pixels, torch.from_numpy(planes) * 255)))  # (3 + K, H, W)
        covered = stack[3:].unsqueeze(1) / 255
        return self.photometry(stack[:3]), nn.functional.avg_pool2d(covered, self.patch).squeeze(1)


def _value(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise InputError(f"it has no column {column!r}; its columns are {', '.join(row)}.")
    return row[column]
