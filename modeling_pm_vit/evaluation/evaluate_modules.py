"""Every metric as a module of the library `evaluate`: `add_batch`, `compute`, `combine`, over several processes."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from ..metrics.metric import Metric
from ..metrics.registry import METRICS, metric_names


class MetricModule(evaluate.Metric):
    """The `evaluate` module of one metric. See [`load_metric`]."""

    def __init__(self, metric: Metric, **kwargs: Any):
        self.metric = metric
        super().__init__(config_name=metric.name, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        features = {}
        for name, (rank, dtype) in self.metric.features.items():
            feature = datasets.Value(dtype)
            for _ in range(rank):
                feature = datasets.Sequence(feature)
            features[name] = feature
        return evaluate.MetricInfo(
            description=self.metric.variant,
            citation="",
            inputs_description=self.metric.measure.__doc__ or "",
            features=datasets.Features(features),
        )

    def _compute(self, **inputs: Any) -> dict[str, float]:
        features = self.metric.features
        return self.metric.compute(
            **{name: _as_arrays(values) if name in features else values for name, values in inputs.items()}
        )


def _as_arrays(rows: Sequence[Any]) -> np.ndarray | list[np.ndarray]:
    """One array, or, where the rows differ in shape, as boxes do, a list of them."""
    arrays = [np.asarray(row) for row in rows]
    return np.stack(arrays) if len({array.shape for array in arrays}) == 1 else arrays


def load_metric(metric: str | Metric, **kwargs: Any) -> MetricModule:
    """
    Args:
        metric: its name in `METRICS`, or a metric that is not registered, such as `TRAINING` of `training.metrics`; its
            `features` are what `add_batch` takes, one row per image.
        kwargs: as `evaluate.load` takes them: `num_process`, `process_id`, `experiment_id`, `cache_dir`, ...

    Returns:
        A module whose `compute()` gives the metric's values; other inputs of the metric go to `compute` (`num_classes`
        for semantic segmentation). Of several processes the first gets the values of all rows.

    Raises:
        InputError: if there is no such metric; lists those that there are.
    """
    if isinstance(metric, str):
        (name,) = metric_names([metric])
        metric = METRICS[name]
    return MetricModule(metric, **kwargs)
