"""One explainer on one batch of images: its maps, each made once, and what every protocol records of them."""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import torch

from ..explainers import Explainer
from ..explainers.patch_masks import class_id_map
from ..metrics.classification import CLASSIFICATION
from ..metrics.grid_pointing import lay_out
from ..metrics.heatmaps import resized, resized_bicubic
from ..metrics.insertion_deletion import INSERTION_DELETION, insertion_deletion_curves
from ..metrics.localization import LOCALIZATION, PIXEL_PRECISION
from ..metrics.map_calibration import MAP_CALIBRATION
from ..metrics.map_statistics import MAP_STATISTICS
from ..metrics.metric import Protocol, Records
from ..metrics.perturbation import PERTURBATION, perturbation_hits
from ..metrics.pointing import OWN_OBJECT, POINTING, own_object
from ..metrics.randomization import RANDOMIZATION
from ..metrics.segmentation import SEGMENTATION
from ..metrics.semantic_segmentation import SEMANTIC_SEGMENTATION
from .batch import Batch
from .classifier import Classifier

IMAGE_PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        SEGMENTATION,
        POINTING,
        OWN_OBJECT,
        LOCALIZATION,
        PIXEL_PRECISION,
        SEMANTIC_SEGMENTATION,
        PERTURBATION,
        INSERTION_DELETION,
        MAP_STATISTICS,
        MAP_CALIBRATION,
        RANDOMIZATION,
    )
}

_GRID_CLASSES = 4  # explained at once: a grid is large, and attention grows with the square of its patches


class ClassifiedBatch:
    """
    A batch with what the classifier says of it.

    Args:
        subject: the classifier.
        batch: the images.
        start: place of the first image in the evaluated set, recorded as `image`.
    """

    def __init__(self, subject: Classifier, batch: Batch, start: int = 0):
        self.subject, self.batch = subject, batch
        self.place = np.arange(start, start + len(batch))
        self.pixel_values = batch.pixel_values.to(subject.device)

    @cached_property
    def logits(self) -> torch.Tensor:
        return self.subject.logits(self.pixel_values)

    @cached_property
    def predicted(self) -> np.ndarray:
        return self.logits.argmax(1).cpu().numpy()

    def classification(self) -> Records:
        measured = CLASSIFICATION.measure(logits=self.logits.cpu().numpy(), labels=self.batch.labels)
        return {"image": self.place, **measured}


class ExplainedBatch:
    """
    An explainer on a batch.

    Args:
        explainer: to be judged.
        judged: the batch.
        randomized: models of the stages of the randomisation check, for that protocol only.
        step_rows: of insertion and deletion (see [`insertion_deletion_curves`]).
    """

    def __init__(
        self,
        explainer: Explainer,
        judged: ClassifiedBatch,
        randomized: Callable[[], Mapping[str, torch.nn.Module]] | None = None,
        step_rows: int = 1,
    ):
        self.explainer, self.judged, self.randomized, self.step_rows = explainer, judged, randomized, step_rows
        self.batch, self.subject = judged.batch, judged.subject
        self.size = tuple(judged.pixel_values.shape[-2:])

    def records(self, protocol: str) -> Records:
        """What the protocol records of the images that have what it needs; empty where none has."""
        rows = np.flatnonzero(self._eligible(protocol))
        if not len(rows):
            return {}
        return {"image": self.judged.place[rows], **getattr(self, f"_{protocol}")(rows)}

    def _eligible(self, protocol: str) -> np.ndarray:
        """`(n,)` boolean: which images the protocol can judge."""
        batch = self.batch
        if protocol in ("segmentation", "pixel_precision"):
            return batch.has_mask
        if protocol == "map_calibration":
            return batch.has_mask & self.explainer.gives_probabilities
        if protocol == "pointing":
            return batch.has_region
        if protocol == "localization":
            return np.array([len(boxes) > 0 for boxes in batch.boxes])
        if protocol == "own_object":
            return np.array([len(classes) > 1 for classes in batch.classes])
        if protocol == "semantic_segmentation":
            return np.array([ids is not None for ids in batch.id_maps])
        return np.ones(len(batch), bool)

    def _explain(self, rows: np.ndarray, labels: np.ndarray, model: torch.nn.Module | None = None) -> np.ndarray:
        pixels = self.judged.pixel_values[torch.as_tensor(rows, device=self.subject.device)].to(self.subject.dtype)
        labels = torch.as_tensor(labels, device=self.subject.device)
        return self.explainer(self.subject.model if model is None else model, pixels, labels)

    @cached_property
    def raw_maps(self) -> np.ndarray:
        """Of the true classes, on the explainer's own grid."""
        return self._explain(np.arange(len(self.batch)), self.batch.labels)

    @cached_property
    def maps(self) -> np.ndarray:
        """The same at the model's input size."""
        return resized(self.raw_maps, self.size)

    @cached_property
    def bicubic_maps(self) -> np.ndarray:
        """The same, as the localization protocol enlarges them."""
        return resized_bicubic(self.raw_maps, self.size)

    @cached_property
    def raw_predicted_maps(self) -> np.ndarray:
        """Of the predicted classes; made anew only where they are not the true ones."""
        maps = self.raw_maps.copy()
        wrong = np.flatnonzero(self.judged.predicted != self.batch.labels)
        if self.explainer.depends_on_class and len(wrong):
            maps[wrong] = self._explain(wrong, self.judged.predicted[wrong])
        return maps

    @cached_property
    def predicted_maps(self) -> np.ndarray:
        return resized(self.raw_predicted_maps, self.size)

    def _segmentation(self, rows: np.ndarray) -> Records:
        return SEGMENTATION.measure(
            heatmaps=self.maps[rows],
            masks=self.batch.masks[rows],
            ignore=self.batch.ignore[rows],
            probabilities=self.explainer.gives_probabilities,
        )

    def _pointing(self, rows: np.ndarray) -> Records:
        return POINTING.measure(heatmaps=self.maps[rows], masks=self.batch.masks[rows])

    def _own_object(self, rows: np.ndarray) -> Records:
        """One value an image: the mean over the classes that it shows."""
        values = []
        for row in rows:
            planes = self.batch.planes[row]
            classes = np.array(self.batch.classes[row])
            maps = resized(self._explain(np.full(len(classes), row), classes), self.size)
            objects = np.broadcast_to(planes.any(0), planes.shape)
            shares = own_object(maps, planes, objects)
            values.append(np.nanmean(shares) if np.isfinite(shares).any() else np.nan)
        return {"own_object": np.array(values, float)}

    def _localization(self, rows: np.ndarray) -> Records:
        return LOCALIZATION.measure(
            heatmaps=self.bicubic_maps[rows],
            boxes=[self.batch.boxes[row] for row in rows],
            correct=(self.judged.predicted == self.batch.labels)[rows],
        )

    def _pixel_precision(self, rows: np.ndarray) -> Records:
        return PIXEL_PRECISION.measure(
            heatmaps=self.bicubic_maps[rows],
            masks=self.batch.masks[rows],
            ignore=self.batch.ignore[rows],
        )

    def _semantic_segmentation(self, rows: np.ndarray) -> Records:
        counts = []
        for row in rows:
            target = self.batch.id_maps[row]
            if self.explainer.gives_probabilities:
                predicted = class_id_map(self.subject.model, self.judged.pixel_values[row : row + 1], target.shape)
            else:
                heatmap = resized(self.raw_predicted_maps[row : row + 1], target.shape)[0]
                predicted = np.where(heatmap > heatmap.mean(), self.judged.predicted[row] + 1, 0)
            measured = SEMANTIC_SEGMENTATION.measure(
                predictions=predicted[None], targets=target[None], num_classes=self.judged.logits.shape[1]
            )
            counts.append(measured["class_counts"])
        return {"class_counts": np.concatenate(counts)}

    def _perturbation(self, rows: np.ndarray) -> Records:
        """A map of the predicted class is tested anew only where it is not that of the true class."""
        differ = np.flatnonzero((self.predicted_maps != self.maps).any((1, 2)))
        hits = {}
        for name, positive in (("negative", False), ("positive", True)):
            target = self._hits(rows, self.maps, positive)
            predicted = target.copy()
            if len(differ):
                predicted[differ] = self._hits(differ, self.predicted_maps[differ], positive)
            hits |= {f"{name}_predicted": predicted, f"{name}_target": target}
        return PERTURBATION.measure(**hits)

    def _hits(self, rows: np.ndarray, maps: np.ndarray, positive: bool) -> np.ndarray:
        pixels = self.judged.pixel_values[torch.as_tensor(rows, device=self.subject.device)]
        return perturbation_hits(
            self.subject, pixels, torch.as_tensor(maps), torch.as_tensor(self.batch.labels[rows]), positive
        )

    def _insertion_deletion(self, rows: np.ndarray) -> Records:
        curves = insertion_deletion_curves(
            self.subject,
            self.judged.pixel_values,
            torch.as_tensor(self.predicted_maps),
            torch.as_tensor(self.judged.predicted),
            self.step_rows,
        )
        return INSERTION_DELETION.measure(**curves)

    def _map_statistics(self, rows: np.ndarray) -> Records:
        return MAP_STATISTICS.measure(heatmaps=self.maps)

    def _map_calibration(self, rows: np.ndarray) -> Records:
        return MAP_CALIBRATION.measure(
            heatmaps=self.maps[rows], masks=self.batch.masks[rows], ignore=self.batch.ignore[rows]
        )

    def _randomization(self, rows: np.ndarray) -> Records:
        after = {stage: self._explain(rows, self.batch.labels, model) for stage, model in self.randomized().items()}
        return RANDOMIZATION.measure(heatmaps=self.raw_maps, **after)


def judge_grid(explainer: Explainer, judged: ClassifiedBatch, side: int, protocol: Protocol, number: int) -> Records:
    """
    The records of one grid: its `side ** 2` images, in `judged`, laid out row by row, each one's class explained.

    Args:
        number: of the grid, recorded as `grid`.
    """
    grid = lay_out(judged.pixel_values, side).to(judged.subject.dtype)
    labels = torch.as_tensor(judged.batch.labels, device=judged.subject.device)
    maps = [
        explainer(judged.subject.model, grid.expand(len(part), *grid.shape), part)
        for part in labels.split(_GRID_CLASSES)
    ]
    heatmaps = resized(np.concatenate(maps), grid.shape[-2:])
    return {"grid": np.full(side**2, number), **protocol.measure(heatmaps=heatmaps, cells=np.arange(side**2))}
