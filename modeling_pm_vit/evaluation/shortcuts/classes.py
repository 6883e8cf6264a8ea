"""From images to classes: means with intervals, and which classes are recognised by more than their object."""

from dataclasses import dataclass

import numpy as np

from ...metrics.bootstrap import interval, resample_weights
from ...metrics.metric import weighted_mean
from ...metrics.off_object import border_zone
from .measure import ImageShares

Value = tuple[float, float, float]  # mean and 95 % interval
VALUES = ("right", "map_off", "evidence_off", "area_off", "map_border", "evidence_border", "right_hidden")


@dataclass(frozen=True)
class ClassShares:
    """
    Args:
        name: of the class.
        images: their number.
        values: the means of the fields of [`ImageShares`], by name, with bootstrap intervals over the images.
        findings: what speaks for a shortcut, one sentence each.
    """

    name: str
    images: int
    values: dict[str, Value]
    findings: list[str]


def summarize_classes(shares: ImageShares, names: list[str], size: tuple[int, int]) -> list[ClassShares]:
    """
    The classes that have images, in their order. A finding is a mean whose interval lies beyond what it is compared
    with: evidence off the object or in the border zone beyond the share of a map that is the same everywhere, and more
    than half of the right answers that stay right without the object.

    Args:
        size: (height, width) of the input of the model.
    """
    border = float(border_zone(size).mean())
    found = []
    for label in np.unique(shares.labels):
        own = shares[shares.labels == label]
        weights = resample_weights(len(own))
        values = {name: _value(getattr(own, name), weights) for name in VALUES}
        beyond = _value(own.evidence_off - own.area_off, weights)[1] > 0
        findings = []
        if beyond:
            findings.append(
                f"{_percent(values['evidence_off'])} of the evidence is off the object, more than the "
                f"{_percent(values['area_off'])} of the image that are off it"
            )
        if values["right_hidden"][1] > 0.5:
            findings.append(
                f"{_percent(values['right_hidden'])} of the right answers stay right with the object hidden"
            )
        if values["evidence_border"][1] > border:
            findings.append(
                f"{_percent(values['evidence_border'])} of the evidence is in the border zone, which is "
                f"{100 * border:.0f} % of the image"
            )
        found.append(ClassShares(names[int(label)], len(own), values, findings))
    return found


def _value(values: np.ndarray, weights: np.ndarray) -> Value:
    mean = float(weighted_mean(values, np.ones((1, len(values))))[0])
    return (mean, *interval(weighted_mean(values, weights)))


def _percent(value: Value) -> str:
    return f"{100 * value[0]:.0f} %"
