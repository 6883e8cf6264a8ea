"""A batch of images as the metrics see it: what is known about it, the classifier's logits, an explainer's maps."""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import torch

from ..explainers import Explainer
from ..explainers.pm_vit_map import class_id_map
from ..metrics.grid_pointing import lay_out
from ..metrics.heatmaps import resized, resized_bicubic
from ..metrics.metric import DEFAULTS, Metric, MetricOptions, Records
from .batch import Batch
from .classifier import Classifier

_GRID_CLASSES = 4  # explained at once: a grid is large, and attention grows with the square of its patches


class ClassifiedBatch:
    """
    A batch and what the classifier says about it.

    Args:
        classifier: whose logits are computed.
        batch: the images.
        start: place of the first image in the evaluated set, recorded as `image`.
    """

    def __init__(self, classifier: Classifier, batch: Batch, start: int = 0):
        self.classifier, self.batch = classifier, batch
        self.place = np.arange(start, start + len(batch))
        self.pixel_values = batch.pixel_values.to(classifier.device)

    @cached_property
    def logits(self) -> torch.Tensor:
        return self.classifier.logits(self.pixel_values)

    @cached_property
    def predicted(self) -> np.ndarray:
        return self.logits.argmax(1).cpu().numpy()


class ExplainedBatch:
    """
    A batch with an explainer: implements [`ExplainedImages`] of `metrics.metric`, which describes the attributes. Each
    map is computed once, when it is first used.

    Args:
        classified: the batch.
        explainer: whose maps are evaluated; None for metrics that need none.
        randomized: gives the models of the stages of the parameter randomisation.
        options: of single metrics.
    """

    def __init__(
        self,
        classified: ClassifiedBatch,
        explainer: Explainer | None = None,
        randomized: Callable[[], Mapping[str, torch.nn.Module]] | None = None,
        options: MetricOptions = DEFAULTS,
    ):
        self._classified, self._explainer, self._randomized = classified, explainer, randomized
        self._classifier = classified.classifier
        self.options = options
        self.pixel_values = classified.pixel_values
        self.black = classified.classifier.black
        batch = classified.batch
        self.labels, self.masks, self.ignore, self.boxes = batch.labels, batch.masks, batch.ignore, batch.boxes
        self.classes, self.planes, self.id_maps = batch.classes, batch.planes, batch.id_maps
        self.has_mask, self.has_region, self.has_empty_mask = batch.has_mask, batch.has_region, batch.has_empty_mask
        height, width = self.pixel_values.shape[-2:]
        self._size = (height, width)

    def records(self, metric: Metric) -> Records:
        """What the metric records of its eligible images, with their places as `image`; empty where there are none."""
        rows = np.flatnonzero(metric.eligible(self))
        if not len(rows):
            return {}
        if metric.record is None:
            raise TypeError(f"the metric {metric.name!r} records no images.")
        return {"image": self._classified.place[rows], **metric.record(self, rows)}

    @property
    def explainer(self) -> Explainer:
        if self._explainer is None:
            raise TypeError("no explainer was given: a metric that uses maps must have needs_explainer=True.")
        return self._explainer

    @property
    def gives_probabilities(self) -> bool:
        return self.explainer.gives_probabilities

    @cached_property
    def logits(self) -> np.ndarray:
        return self._classified.logits.cpu().numpy()

    @property
    def predicted(self) -> np.ndarray:
        return self._classified.predicted

    @cached_property
    def raw_maps(self) -> np.ndarray:
        return self.explain(np.arange(len(self.labels)), self.labels)

    @cached_property
    def heatmaps(self) -> np.ndarray:
        return resized(self.raw_maps, self._size)

    @cached_property
    def bicubic_heatmaps(self) -> np.ndarray:
        return resized_bicubic(self.raw_maps, self._size)

    @cached_property
    def raw_predicted_maps(self) -> np.ndarray:
        """Computed only where the predicted class is not the true one."""
        maps = self.raw_maps.copy()
        wrong = np.flatnonzero(self.predicted != self.labels)
        if self.explainer.depends_on_class and len(wrong):
            maps[wrong] = self.explain(wrong, self.predicted[wrong])
        return maps

    @cached_property
    def predicted_heatmaps(self) -> np.ndarray:
        return resized(self.raw_predicted_maps, self._size)

    def classify(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self._classifier.logits(pixel_values)

    def explain(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        randomized: str | None = None,
        pixel_values: torch.Tensor | None = None,
    ) -> np.ndarray:
        device = self._classifier.device
        chosen = self.pixel_values[torch.as_tensor(rows, device=device)] if pixel_values is None else pixel_values
        pixels = chosen.to(self._classifier.dtype)
        model = self._classifier.model
        if randomized is not None:
            if self._randomized is None:
                raise TypeError("no randomised models were given.")
            model = self._randomized()[randomized]
        return self.explainer(model, pixels, torch.as_tensor(labels, device=device))

    def class_id_map(self, row: int, size: tuple[int, int]) -> np.ndarray:
        return class_id_map(self._classifier.model, self.pixel_values[row : row + 1], size)


def grid_heatmaps(explainer: Explainer, classified: ClassifiedBatch, side: int) -> np.ndarray:
    """
    Heat maps `(side ** 2, height, width)` of one grid: the `side ** 2` images of the batch, laid out row by row, and
    the class of each cell explained in turn.
    """
    grid = lay_out(classified.pixel_values, side).to(classified.classifier.dtype)
    labels = torch.as_tensor(classified.batch.labels, device=classified.classifier.device)
    maps = [
        explainer(classified.classifier.model, grid.expand(len(part), *grid.shape), part)
        for part in labels.split(_GRID_CLASSES)
    ]
    return resized(np.concatenate(maps), grid.shape[-2:])
