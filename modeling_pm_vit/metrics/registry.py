"""Every metric of an evaluation, in the order of the report. A new metric is a file beside this one and a line here."""

from collections.abc import Iterable

from ..utils.names import resolve_names
from .classification import CLASSIFICATION
from .empty_masks import EMPTY_MASKS
from .former_names import RENAMED_METRICS
from .grid_pointing import GRID_2X2, GRID_2X2_BCOS, GRID_3X3, GRID_3X3_BCOS
from .insertion_deletion import INSERTION_DELETION
from .localization import LOCALIZATION
from .map_calibration import MAP_CALIBRATION
from .map_statistics import MAP_STATISTICS
from .max_sensitivity import MAX_SENSITIVITY
from .metric import Metric
from .on_target_mass import ON_TARGET_MASS
from .per_class import PER_CLASS
from .perturbation import PERTURBATION
from .pixel_precision import PIXEL_PRECISION
from .pointing import POINTING
from .randomization import RANDOMIZATION
from .road import ROAD
from .segmentation import SEGMENTATION
from .semantic_segmentation import SEMANTIC_SEGMENTATION

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        CLASSIFICATION,
        PER_CLASS,
        GRID_2X2,
        GRID_3X3,
        GRID_2X2_BCOS,
        GRID_3X3_BCOS,
        SEGMENTATION,
        POINTING,
        ON_TARGET_MASS,
        LOCALIZATION,
        PIXEL_PRECISION,
        SEMANTIC_SEGMENTATION,
        PERTURBATION,
        INSERTION_DELETION,
        ROAD,
        MAP_STATISTICS,
        MAP_CALIBRATION,
        EMPTY_MASKS,
        RANDOMIZATION,
        MAX_SENSITIVITY,
    )
}


def metric_names(names: Iterable[str]) -> tuple[str, ...]:
    """
    The names of metrics that a user asks for ("all" for every one), each once, former names replaced by present ones.

    Raises:
        InputError: if there is no such metric; lists those that there are.
    """
    return resolve_names(names, METRICS, RENAMED_METRICS, "metric")


def reported_metrics() -> dict[str, Metric]:
    """Every metric that a report can have, those at held-out parameters included."""
    held_out = [metric.held_out.metric for metric in METRICS.values() if metric.held_out]
    return METRICS | {metric.name: metric for metric in held_out}
