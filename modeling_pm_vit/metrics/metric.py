"""
What all metrics have in common.

A metric works in two steps. `measure` turns arrays of images into records, one per image; `summarize` turns records and
weights of the images into values. A bootstrap resample is a choice of weights, and records can be kept on disk, so
intervals, paired comparisons and resuming need nothing from the single metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

Records = Mapping[str, np.ndarray]  # arrays whose first axis is the image


@dataclass(frozen=True)
class MetricOptions:
    """
    What a user chooses for metrics; a metric names those that it depends on in `Metric.options`.

    Args:
        num_grids: number of grids of the grid pointing games.
        step_rows: insertion and deletion change as many pixels per step as this number of rows holds.
        sensitivity_samples: number of draws of noise of max-sensitivity.
        tie_orders: random orders of pixels of equal value, where a metric ranks pixels; 0 for the published order.
    """

    num_grids: int = 60
    step_rows: int = 1
    sensitivity_samples: int = 10
    tie_orders: int = 5


DEFAULTS = MetricOptions()


class ExplainedImages(Protocol):
    """
    What an evaluation offers a metric: n images, what is known about them, and what a classifier and an explainer say.

    All images have the model's input size, `(height, width)`. Maps are made when they are first asked for and kept.
    A metric with `needs_explainer=False` must not ask for maps.
    """

    @property
    def labels(self) -> np.ndarray:
        """True classes, `(n,)`."""

    @property
    def masks(self) -> np.ndarray:
        """Where the true class is, `(n, height, width)` boolean: its mask, else its boxes."""

    @property
    def has_mask(self) -> np.ndarray:
        """`(n,)` boolean: `masks` is known to the pixel and not empty."""

    @property
    def has_empty_mask(self) -> np.ndarray:
        """`(n,)` boolean: the mask of the true class is known and empty: it is nowhere in the image."""

    @property
    def has_region(self) -> np.ndarray:
        """`(n,)` boolean: `masks` is not empty; it comes from a mask or from boxes."""

    @property
    def ignore(self) -> np.ndarray:
        """Pixels whose truth is unknown, `(n, height, width)` boolean."""

    @property
    def boxes(self) -> Sequence[np.ndarray]:
        """For each image the boxes `(m, 4)` of the true class, `x0, y0, x1, y1` inclusive; m = 0 where unknown."""

    @property
    def classes(self) -> Sequence[Sequence[int]]:
        """For each image the K classes that its mask shows."""

    @property
    def planes(self) -> Sequence[np.ndarray]:
        """For each image where these classes are, `(K, height, width)` boolean."""

    @property
    def id_maps(self) -> Sequence[np.ndarray | None]:
        """For each image its map of class index + 1 at its own size (0: other, -1: unknown), or None."""

    @property
    def pixel_values(self) -> torch.Tensor:
        """Normalised images, `(n, channels, height, width)`."""

    @property
    def logits(self) -> np.ndarray:
        """`(n, classes)`, float32."""

    @property
    def predicted(self) -> np.ndarray:
        """Predicted classes, `(n,)`."""

    @property
    def gives_probabilities(self) -> bool:
        """Whether the explainer's maps hold probabilities."""

    @property
    def raw_maps(self) -> np.ndarray:
        """Maps of the true classes on the explainer's own grid, `(n, rows, columns)`."""

    @property
    def heatmaps(self) -> np.ndarray:
        """`raw_maps` at the input size, bilinear."""

    @property
    def bicubic_heatmaps(self) -> np.ndarray:
        """`raw_maps` at the input size, bicubic as OpenCV does it."""

    @property
    def raw_predicted_maps(self) -> np.ndarray:
        """Maps of the predicted classes on the explainer's own grid."""

    @property
    def predicted_heatmaps(self) -> np.ndarray:
        """`raw_predicted_maps` at the input size, bilinear."""

    @property
    def black(self) -> torch.Tensor:
        """A black pixel after normalisation, `(channels, 1, 1)`."""

    @property
    def options(self) -> MetricOptions:
        """What the user chose."""

    def classify(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits `(m, classes)`, float32, of any m normalised images."""

    def explain(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        randomized: str | None = None,
        pixel_values: torch.Tensor | None = None,
    ) -> np.ndarray:
        """
        Maps on the explainer's own grid, one for each of `rows`, which may repeat an image.

        Args:
            rows: indices of images.
            labels: the class to explain in each of them.
            randomized: a stage of the parameter randomisation; explain the model of that stage.
            pixel_values: explain these in place of the images, one for each of `rows`.
        """

    def class_id_map(self, row: int, size: tuple[int, int]) -> np.ndarray:
        """Of one image, at `size`: the most probable class + 1 where it reaches 0.5, else 0. Probabilities only."""


@dataclass(frozen=True)
class MetricValue:
    """
    One number that a metric gives, a column of its table.

    Args:
        name: key in results.
        title: head of the column.
        higher_is_better: None where neither direction is.
        scale: factor for printing (100 for per cent).
        spread_of: the value of the same metric whose spread this is; a table prints it as ± of that value.
    """

    name: str
    title: str
    higher_is_better: bool | None = True
    scale: float = 100.0
    spread_of: str | None = None


@dataclass(frozen=True)
class Curves:
    """
    Curves that a report draws from a metric's records, one panel each.

    Args:
        panels: title of each panel and the key of its curve, `(n, points)`, in the records.
        x_title, y_title: of the axes. Values of y lie in 0 to 1.
        x: of the points; by default they are evenly spaced from 0 to 1.
    """

    panels: Mapping[str, str]
    x_title: str
    y_title: str
    x: np.ndarray | None = None


@dataclass(frozen=True)
class HeldOut:
    """
    A second metric, whose parameters are chosen on held-out images.

    Args:
        metric: that gives the values.
        records: (records of the evaluated images, records of the held-out images), both of the first metric, to records
            of `metric`.
    """

    metric: Metric
    records: Callable[[Records, Records], Records]


@dataclass(frozen=True)
class GridDesign:
    """
    How images are laid out as grids.

    Args:
        side: of the grid, in images.
        choose: the labels `(n,)` of correctly classified images, their records of classification, the number of grids
            and a seed, to the images in each cell, row by row: indices `(grids, side ** 2)`, as many grids as there
            can be, at most the number asked for.
    """

    side: int
    choose: Callable[[np.ndarray, Records, int, int], np.ndarray]


def every_image(images: ExplainedImages) -> np.ndarray:
    """`(n,)` boolean: all images are eligible."""
    return np.ones(len(images.labels), bool)


@dataclass(frozen=True)
class Metric:
    """
    A metric, and what an evaluation needs to know to run it.

    Args:
        name, title: key and heading.
        values: what `summarize` returns, in this order.
        measure: arrays of n images to records.
        summarize: records and weights `(resamples, n)` of the images to values, each `(resamples,)`. Weights of 1 give
            the values of the set; in a bootstrap resample an image weighs as often as it was drawn.
        features: the inputs of `measure`, each with its rank and dtype, for the `evaluate` module.
        variant: one paragraph: what exactly is computed, and after which paper.
        eligible: which images the metric can evaluate, `(n,)` boolean.
        record: images and the indices of the eligible ones to records. None: the metric is not run by an evaluation, or
            it has a `grid`.
        grid: not single images but grids of images of different classes are evaluated; `measure` then takes `heatmaps`
            of the grids and `cells`, the explained cell of each.
        needs: what an image must have to be eligible, for the message where none has it.
        needs_explainer: False for a metric of the classifier alone.
        options: the fields of [`MetricOptions`] that its records depend on.
        curves: to be drawn in the report.
        held_out: the metric at parameters that are chosen on held-out images.
    """

    name: str
    title: str
    values: tuple[MetricValue, ...]
    measure: Callable[..., dict[str, np.ndarray]]
    summarize: Callable[[Records, np.ndarray], dict[str, np.ndarray]]
    features: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    variant: str = ""
    eligible: Callable[[ExplainedImages], np.ndarray] = every_image
    record: Callable[[ExplainedImages, np.ndarray], Records] | None = None
    grid: GridDesign | None = None
    needs: str = ""
    needs_explainer: bool = True
    options: tuple[str, ...] = ()
    curves: Curves | None = None
    held_out: HeldOut | None = None

    def compute(self, **inputs: Any) -> dict[str, float]:
        """The values of a set of images, from the inputs of `measure`."""
        return self.values_of(self.measure(**inputs))

    def values_of(self, records: Records) -> dict[str, float]:
        """The values of a set of records."""
        weights = np.ones((1, len(next(iter(records.values())))))
        return {name: float(values[0]) for name, values in self.summarize(records, weights).items()}


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """
    Args:
        values: `(n, ...)`; NaN where an image has no value: it is left out.
        weights: `(resamples, n)`.

    Returns:
        `(resamples, ...)`; NaN where every image is left out or weighs 0.
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    total = weighted_sum(np.where(known, values, 0.0), weights)
    count = weighted_sum(known, weights)
    return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)


def weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of `values` `(n, ...)` under `weights` `(resamples, n)`: `(resamples, ...)`."""
    return np.tensordot(weights, np.asarray(values, np.float64), axes=1)


def means(*names: str) -> Callable[[Records, np.ndarray], dict[str, np.ndarray]]:
    """A `summarize` whose values are the means of the records of the same names."""

    def summarize(records: Records, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: weighted_mean(records[name], weights) for name in names}

    return summarize
