"""By what single images are recognised: where map and evidence lie, and what is left without the object."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch

from ...explainers import Explainer
from ...explainers.pm_vit_map import pm_vit_map
from ...metrics.heatmaps import checked_heatmaps, resized
from ...metrics.off_object import border_share, off_object_share
from ..batch import Batch
from ..classifier import Classifier


@dataclass(frozen=True)
class ImageShares:
    """
    Of n images, each `(n,)`; NaN where it is not known.

    Args:
        labels: true classes.
        right: 1 where the image is classified right, else 0.
        map_off, evidence_off: the share of the map, and of the evidence, of the true class off its object, with a
            margin of one patch around it.
        area_off: the share of the image off the object, which a map that is the same everywhere would have.
        map_border, evidence_border: the shares in the border zone.
        right_hidden: 1 where the image is classified right with the object hidden, else 0; of images that are right.
    """

    labels: np.ndarray
    right: np.ndarray
    map_off: np.ndarray
    evidence_off: np.ndarray
    area_off: np.ndarray
    map_border: np.ndarray
    evidence_border: np.ndarray
    right_hidden: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "ImageShares":
        return ImageShares(*(getattr(self, field.name)[rows] for field in fields(self)))


def measure_shares(classifier: Classifier, evidence: Explainer, batch: Batch) -> ImageShares:
    """Of the images of a batch."""
    pixels = batch.pixel_values.to(classifier.device, classifier.dtype)
    maps, found = maps_of(classifier, evidence, batch)
    logits = classifier.logits(pixels).cpu().numpy()
    right = logits.argmax(1) == batch.labels
    patch = classifier.model.config.patch_size
    around = np.stack([_dilated(mask, patch if isinstance(patch, int) else max(patch)) for mask in batch.masks])
    known = batch.has_region
    hidden = np.full(len(batch), np.nan)
    rows = np.flatnonzero(known & right)
    if len(rows):
        without = torch.stack([_hidden(batch.pixel_values[row], around[row]) for row in rows])
        hidden[rows] = classifier.logits(without).argmax(1).cpu().numpy() == batch.labels[rows]
    map_off, evidence_off = (np.where(known, off_object_share(one, around), np.nan) for one in (maps, found))
    return ImageShares(
        batch.labels,
        right.astype(float),
        map_off,
        evidence_off,
        np.where(known, 1 - around.mean((1, 2)), np.nan),
        border_share(maps),
        border_share(found),
        hidden,
    )


def maps_of(classifier: Classifier, evidence: Explainer, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Map and evidence of the true classes, both `(n, height, width)` at the input size."""
    pixels = batch.pixel_values.to(classifier.device, classifier.dtype)
    labels = torch.as_tensor(batch.labels, device=classifier.device)
    size = pixels.shape[-2:]
    maps = pm_vit_map(classifier.model, pixels, labels)
    return resized(maps, size), resized(checked_heatmaps(evidence(classifier.model, pixels, labels)), size)


def _dilated(mask: np.ndarray, margin: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0


def _hidden(pixel_values: torch.Tensor, mask: np.ndarray) -> torch.Tensor:
    """The image with the mean colour of the rest in the box around the mask: its outline would tell the class."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = torch.zeros(mask.shape, dtype=torch.bool)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    rest = pixel_values[:, ~box]
    colour = rest.mean(1) if rest.shape[1] else pixel_values.mean((1, 2))
    return torch.where(box, colour[:, None, None], pixel_values)
