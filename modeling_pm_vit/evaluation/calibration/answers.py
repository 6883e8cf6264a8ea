"""What a model says about images, before any temperature, beside what is true of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ...data.classes import ClassMap
from ...data.columns import Columns
from ...data.masks import MaskFormat
from ...data.rows import Rows
from ...image_processing_pm_vit import PMViTImageProcessor
from ..batch import Batch, read_batches
from ..classifier import Classifier

Found = TypeVar("Found", bound="Outputs")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """
    What a model says about n images.

    Args:
        logits: `(n, classes)` of the image.
        top_map_logits: `(n,)`, the highest logit of the most probable class on a patch.
        features: `(n, dimensions)`, what the classifier reads of the image.
    """

    logits: np.ndarray
    top_map_logits: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self: Found, rows: np.ndarray) -> Found:
        """Those of some images, by index or as a boolean array."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Answers(Outputs):
    """
    The same, beside what is true of the images.

    Args:
        labels: `(n,)`, true classes.
        map_logits: `(n, rows, columns)`, of the patches for the true class.
        coverage: same shape: the fraction of the patch that the mask of the true class covers; NaN where it is unknown,
            everywhere if there is no mask to the pixel.
    """

    labels: np.ndarray
    map_logits: np.ndarray
    coverage: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """`(n,)` boolean: the most probable class is the true one."""
        return np.asarray(self.logits.argmax(1) == self.labels)


def collect_answers(
    classifier: Classifier,
    processor: PMViTImageProcessor,
    rows: Rows,
    masks: MaskFormat,
    columns: Columns,
    class_map: ClassMap,
    indices: Sequence[int] | np.ndarray,
    batch_size: int = 16,
    title: str = "calibration",
) -> Answers:
    """
    Args:
        classifier: around a PM-ViT.
        processor, rows, masks, columns, class_map: as for an [`Evaluator`].
        indices: the rows to use, in this order.

    Raises:
        InputError: if an image or a mask cannot be read; names the row.
    """
    found = []
    with tqdm(total=len(indices), desc=title, unit="image") as progress:
        for batch in read_batches(processor, rows, masks, columns, class_map, indices, batch_size):
            said, outputs = _said(classifier, batch.pixel_values, torch.as_tensor(batch.labels)[:, None])
            map_logits = outputs.mask_logits[:, 0].float().cpu().numpy()
            coverage = patch_coverage(batch, map_logits.shape[1:])
            found.append(Answers(**vars(said), labels=batch.labels, map_logits=map_logits, coverage=coverage))
            progress.update(len(batch))
    return _joined(found)


def collect_outputs(
    classifier: Classifier,
    processor: PMViTImageProcessor,
    images: Iterable[Image.Image],
    batch_size: int = 16,
    title: str = "images",
) -> Outputs:
    """Of images of which nothing is known."""
    found, waiting = [], []
    for image in tqdm(images, desc=title, unit="image"):
        waiting.append(processor(image, return_tensors="pt").pixel_values)
        if len(waiting) == batch_size:
            found.append(_said(classifier, torch.cat(waiting), 1)[0])
            waiting = []
    if waiting:
        found.append(_said(classifier, torch.cat(waiting), 1)[0])
    return _joined(found)


def patch_coverage(batch: Batch, grid: Sequence[int]) -> np.ndarray:
    """The fraction of each patch, `(n, rows, columns)`, that the true class covers; NaN where it is unknown."""
    patches = (len(batch), grid[0], batch.masks.shape[1] // grid[0], grid[1], batch.masks.shape[2] // grid[1])
    coverage = batch.masks.reshape(patches).mean((2, 4))
    coverage[batch.ignore.reshape(patches).any((2, 4))] = np.nan
    coverage[~(batch.has_mask | batch.has_empty_mask)] = np.nan
    return coverage


@torch.no_grad()
def _said(
    classifier: Classifier, pixel_values: torch.Tensor, explain_labels: torch.Tensor | int
) -> tuple[Outputs, Any]:
    read: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].ndim == 2:  # of the image; the patches are (batch, patches, hidden)
            read.append(inputs[0])

    hook = classifier.model.classifier.register_forward_pre_hook(keep)
    try:
        outputs = classifier.model(
            pixel_values.to(classifier.device, classifier.dtype),
            explain_labels=explain_labels if isinstance(explain_labels, int) else explain_labels.to(classifier.device),
        )
    finally:
        hook.remove()
    logits, top, features = (x.float().cpu().numpy() for x in (outputs.logits, outputs.top_mask_logits, read[0]))
    return Outputs(logits=logits, top_map_logits=top, features=features), outputs


def _joined(found: Sequence[Found]) -> Found:
    names = [field.name for field in fields(found[0])]
    return type(found[0])(**{name: np.concatenate([getattr(part, name) for part in found]) for name in names})
