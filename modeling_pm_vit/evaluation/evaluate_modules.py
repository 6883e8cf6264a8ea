"""Every protocol as a module of `evaluate`: `add_batch`, `compute`, `combine`, over several processes."""

import datasets
import evaluate
import numpy as np

from ..metrics.metric import Protocol
from .evaluator import PROTOCOLS


class ProtocolMetric(evaluate.Metric):
    """The metric of one protocol. See [`load_metric`]."""

    def __init__(self, protocol: Protocol, **kwargs):
        self.protocol = protocol
        super().__init__(config_name=protocol.name, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        features = {}
        for name, (rank, dtype) in self.protocol.features.items():
            feature = datasets.Value(dtype)
            for _ in range(rank):
                feature = datasets.Sequence(feature)
            features[name] = feature
        return evaluate.MetricInfo(
            description=self.protocol.variant,
            citation="",
            inputs_description=self.protocol.measure.__doc__ or "",
            features=datasets.Features(features),
        )

    def _compute(self, **inputs) -> dict[str, float]:
        ragged = {"boxes"}
        return self.protocol.compute(
            **{
                name: [np.asarray(value) for value in values] if name in ragged else np.asarray(values)
                for name, values in inputs.items()
                if name in self.protocol.features
            }
            | {name: value for name, value in inputs.items() if name not in self.protocol.features}
        )


def load_metric(protocol: str | Protocol, **kwargs) -> ProtocolMetric:
    """
    Args:
        protocol: its name in `PROTOCOLS`, or one that is not there, such as `TRAINING` of `training.metrics`; its
            `features` are what `add_batch` takes, one row an image.
        kwargs: as `evaluate.load` takes them: `num_process`, `process_id`, `experiment_id`, `cache_dir`, ...

    Returns:
        A metric whose `compute()` gives the protocol's figures; what else the protocol needs goes to `compute`
        (`num_classes` for semantic segmentation). Of several processes the first gets the figures of all rows.

    Raises:
        ValueError: if there is no such protocol; names those that there are.
    """
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            raise ValueError(f"there is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}.")
        protocol = PROTOCOLS[protocol]
    return ProtocolMetric(protocol, **kwargs)
