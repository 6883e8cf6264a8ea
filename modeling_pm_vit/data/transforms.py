"""From a row of a dataset to a training or evaluation example: image and masks are transformed together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..explanation_pm_vit import IGNORE
from ..image_loading_pm_vit import load_image
from ..image_processing_pm_vit import PMViTImageProcessor, patch_sides
from ..utils.errors import InputError
from .augmentation.device import MAX_UNKNOWN, normalize, patch_fractions, possible_patches
from .augmentation.parameters import Augmentation, AugmentationSettings, draw
from .augmentation.single import augment, erased_pixels
from .classes import ClassMap, model_class
from .decoding import decode_value
from .masks import MaskEncoding, MaskFormat, decode_mask
from .multi_label import LabelVectors
from .reduced_decoding import decode_reduced, reduce_planes, scale_for_any_crop, scale_for_crop, scaled


@dataclass
class DecodedRow:
    """
    A row, decoded but not yet transformed.

    Args:
        image: `(height, width, 3)`, uint8.
        size: (height, width) of the photograph.
        scale: at one over which it was decoded.
        labels: the model's class, or a vector of all classes.
        classes: those that the mask tells of, at first those of the planes; the others may be anywhere.
        planes: `(K, height, width)`, uint8 of 0 and 1, or of 0 ... 255 at a scale, the masks of the first K classes.
        ignored: whether one more plane has the pixels where nothing is known.
    """

    image: np.ndarray
    size: tuple[int, int]
    scale: int
    labels: int | torch.Tensor
    classes: list[int]
    planes: np.ndarray
    ignored: bool


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
        augmentation: for training; by default the processor is used, as for inference.
        classes: of the dataset and of the model, which labels and masks are checked against and mapped by; `None`: any
            index is a class, and the same in the model.
        several: reads the labels of rows that can show several classes, or none; `None`: each row shows one.
        weak: an image with a class and without a mask gets a mask of `POSSIBLE` for its class: all that its label says
            of its patches.
        image_column, label_column, mask_column: names; `mask_column=None` for no masks. Images and masks may be
            encoded (see [`decode_value`]). A row may lack the mask column.

    Attributes:
        on_device: leave the augmentation to [`DeviceAugmentation`]: an example then has `image`, `planes`,
            `augmentation` and the `size` of the input instead of `pixel_values` and `mask_labels`.
    """

    def __init__(
        self,
        processor: PMViTImageProcessor,
        masks: MaskFormat | MaskEncoding = "binary",
        augmentation: AugmentationSettings | None = None,
        classes: ClassMap | None = None,
        several: LabelVectors | None = None,
        weak: bool = False,
        image_column: str = "image",
        label_column: str = "label",
        mask_column: str | None = "mask",
    ):
        self.processor, self.masks, self.classes, self.several = processor, masks, classes, several
        self.image_column, self.label_column, self.mask_column = image_column, label_column, mask_column
        self.patch = patch_sides(processor.patch_size)
        self.size: tuple[int, int] = (processor.size.height, processor.size.width)
        if None in self.size:
            raise InputError(f"training needs an image processor with a height and a width, got size={processor.size}.")
        self.augmentation, self.weak, self.on_device = augmentation, weak, False

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size[0] // self.patch[0], self.size[1] // self.patch[1]

    def __call__(self, row: Mapping[str, Any], rng: np.random.Generator | None = None) -> dict[str, Any]:
        """
        Args:
            rng: of the augmentation, which depends on its state only.

        Raises:
            InputError, OSError: if the row has no image or label column, the image cannot be read, the label is not one
                of the classes, or the mask is not of the image's size or shows another class than the dataset has.
        """
        return self.transform(self.decode(row), rng)

    def decode(self, row: Mapping[str, Any], seed: Sequence[int] | None = None) -> DecodedRow:
        """
        The part of a call that has no random choices; raises as a call does. A large JPEG is decoded at a fraction of
        its size, if there is an augmentation whose crop still has more pixels than the model's input.

        Args:
            seed: of the augmentation that follows; by default the row is decoded for any.
        """
        label = self.labels(row)  # checked before the image is read
        image, size, scale = decode_reduced(self._image_value(row), lambda size: self._scale(size, seed))
        value = decode_value(row.get(self.mask_column)) if self.mask_column else None
        if isinstance(label, torch.Tensor):
            assert self.several is not None  # else `labels` returns a number
            shown, planes, ignored = self.several.decode_mask(value, self.masks, label, size)
        else:
            shown, planes, ignored = decode_mask(value, self.masks, row[self.label_column], size, self.classes)
        if ignored is not None:
            planes = np.concatenate((planes, ignored[None].astype(np.uint8)))
        classes = list(shown)
        if shown:
            possible = (label != 0).nonzero().flatten().tolist() if isinstance(label, torch.Tensor) else [label]
            classes += [c for c in possible if c not in shown]
        if scale > 1:
            planes = reduce_planes(planes, scale)
        return DecodedRow(np.array(image), size, scale, label, classes, planes, ignored is not None)

    def _scale(self, size: tuple[int, int], seed: Sequence[int] | None) -> int:
        """At one over which an image of this (height, width) may be decoded."""
        if self.augmentation is None:
            return 1
        if seed is None:
            return scale_for_any_crop(size, self.size, self.augmentation)
        drawn = draw(self.augmentation, size, self.size, np.random.default_rng(seed))
        return scale_for_crop(drawn.crop[2:], self.size)

    def transform(self, decoded: DecodedRow, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """The rest of a call."""
        weak = self.weak and not decoded.classes
        classes = [decoded.labels] if weak else decoded.classes
        example = {"labels": decoded.labels, "explain_labels": torch.tensor(classes, dtype=torch.long)}
        if self.augmentation is None:
            image = Image.fromarray(decoded.image)
            inputs = self.processor(image, decoded.planes, list(range(len(decoded.planes))), return_tensors="pt")
            fractions = inputs["mask_labels"][0][: len(decoded.planes)]
            return example | self._known(inputs["pixel_values"][0], fractions, decoded)
        augmentation = draw(self.augmentation, decoded.size, self.size, rng or np.random.default_rng())
        augmentation = scaled(augmentation, decoded.scale)
        pixels = torch.from_numpy(decoded.image).permute(2, 0, 1)
        planes = torch.from_numpy(decoded.planes) * (255 if decoded.scale == 1 else 1)
        if self.on_device:
            return example | {
                "image": pixels,
                "planes": planes,
                "ignored": decoded.ignored,
                "augmentation": augmentation,
                "weak": weak,
                "size": self.size,
            }
        pixels, planes = augment(pixels, planes, augmentation, self.size)
        erased = erased_pixels([augmentation], self.size)
        pixel_values = normalize(pixels.unsqueeze(0), erased if augmentation.erased else None, self.processor)[0]
        example |= self._known(pixel_values, patch_fractions(planes, self.patch), decoded)
        return example | {"mask_labels": possible_patches(erased, self.patch)} if weak else example

    def _known(self, pixel_values: torch.Tensor, fractions: torch.Tensor, decoded: DecodedRow) -> dict[str, Any]:
        """The pixel values, and the masks with -100 where they are unknown."""
        if decoded.ignored:
            fractions = fractions[:-1].masked_fill(fractions[-1] > MAX_UNKNOWN, float(IGNORE))
        unseen = torch.full((len(decoded.classes) - len(fractions), *fractions.shape[1:]), float(IGNORE))
        return {"pixel_values": pixel_values, "mask_labels": torch.cat((fractions, unseen))}

    def image(self, row: Mapping[str, Any]) -> Image.Image:
        """The row's image in RGB, not transformed; raises as a call does."""
        return load_image(decode_value(self._image_value(row)))

    def _image_value(self, row: Mapping[str, Any]) -> Any:
        value = _value(row, self.image_column)
        if value is None or (isinstance(value, dict) and not any(value.values())):
            raise InputError(f"its column {self.image_column!r} is empty.")
        return value

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
        example = {
            "labels": IGNORE if self.several is None else torch.full((self.several.num_labels,), float(IGNORE)),
            "explain_labels": torch.zeros(0, dtype=torch.long),
        }
        if self.on_device:
            return example | {
                "image": torch.zeros(3, *self.size, dtype=torch.uint8),
                "planes": torch.zeros(0, *self.size, dtype=torch.uint8),
                "ignored": False,
                "augmentation": Augmentation((0, 0, *self.size), erased=(0, 0, *self.size)),
                "weak": False,
                "size": self.size,
            }
        return example | {"pixel_values": torch.zeros(3, *self.size), "mask_labels": torch.zeros(0, *self.grid)}


def _value(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise InputError(f"it has no column {column!r}; its columns are {', '.join(row)}.")
    return row[column]
