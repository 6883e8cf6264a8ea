"""From a row of a dataset to a training or evaluation example: image and masks move together."""

import numpy as np
import torch
from datasets.features.features import Features
from torch import nn
from torchvision.transforms import v2

from ..image_processing_pm_vit import PMViTImageProcessor, load_image
from .masks import MaskEncoding, decode_mask


class Examples:
    """
    The function that a dataset's `set_transform` takes: rows to examples of `pixel_values`, `labels`, `mask_labels`
    `(K, h, w)` and `explain_labels` `(K,)`, K = 0 where a row has no mask.

    Args:
        processor: gives size, patch size and normalisation.
        encoding: of the mask column.
        augment: random crop, flip and colour for training; else exactly what the processor does at inference.
        min_scale: smallest share of the image that a crop keeps.
        colour_jitter: largest relative change of brightness, contrast and saturation; 0 for none.
        image_column, label_column, mask_column: names; `mask_column=None` for no masks at all.
    """

    def __init__(
        self,
        processor: PMViTImageProcessor,
        encoding: MaskEncoding = "binary",
        augment: bool = False,
        min_scale: float = 0.35,
        colour_jitter: float = 0.3,
        image_column: str = "image",
        label_column: str = "label",
        mask_column: str | None = "mask",
    ):
        self.processor, self.encoding = processor, encoding
        self.image_column, self.label_column, self.mask_column = image_column, label_column, mask_column
        patch = processor.patch_size
        self.patch = (patch, patch) if isinstance(patch, int) else tuple(patch)
        self.geometry = self.photometry = None
        if augment:
            size = (processor.size.height, processor.size.width)
            if None in size:
                raise ValueError(f"training needs a processor with a height and a width, got size={processor.size}.")
            self.geometry = v2.Compose(
                [v2.RandomResizedCrop(size, scale=(min_scale, 1), antialias=True), v2.RandomHorizontalFlip()]
            )
            self.photometry = v2.Compose(
                [
                    *([v2.ColorJitter(*[colour_jitter] * 3)] if colour_jitter else []),
                    v2.ToDtype(torch.float32, scale=True),
                    v2.Normalize(processor.image_mean, processor.image_std),
                ]
            )

    def __call__(self, rows: dict[str, list]) -> dict[str, list]:
        masks = rows[self.mask_column] if self.mask_column else [None] * len(rows[self.label_column])
        columns = zip(rows[self.image_column], rows[self.label_column], masks, strict=True)
        examples = [self._example(*row) for row in columns]
        return {key: [example[key] for example in examples] for key in examples[0]}

    def _example(self, image, label: int, mask) -> dict:
        image = load_image(image)
        classes, planes = decode_mask(mask, self.encoding, label, (image.height, image.width))
        if self.geometry is None:
            inputs = self.processor(image, planes, classes, return_tensors="pt")
            pixel_values, fractions = inputs["pixel_values"][0], inputs["mask_labels"][0][: len(classes)]
        else:
            # Channels of one tensor, so that they cannot but move together; smoothly, so that fractions stay exact.
            image = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            moved = self.geometry(torch.cat((image, torch.from_numpy(planes) * 255)))  # (3 + K, height, width)
            pixel_values, covered = self.photometry(moved[:3]), moved[3:].unsqueeze(1) / 255
            fractions = nn.functional.avg_pool2d(covered, self.patch).squeeze(1)
        return {
            "pixel_values": pixel_values,
            "labels": label,
            "mask_labels": fractions,
            "explain_labels": torch.tensor(classes, dtype=torch.long),
        }


def class_names(features: Features, label_column: str = "label") -> list[str]:
    """The names of the classes, from a dataset's label column."""
    names = getattr(features.get(label_column), "names", None)
    if not names:
        raise ValueError(f"the column {label_column!r} must be a ClassLabel; the columns are {dict(features)}.")
    return names
