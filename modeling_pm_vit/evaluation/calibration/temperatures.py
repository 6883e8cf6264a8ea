"""From answers to the two temperatures, with the calibration before and after."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...metrics.calibration import bin_sums, calibration_error
from ...metrics.classification import top_k_hits
from ...metrics.temperature import (
    class_likelihood_loss,
    fit_class_temperature,
    fit_map_temperature,
    map_likelihood_loss,
)
from .answers import Answers


@dataclass(frozen=True)
class Calibration:
    """
    A temperature, and what it does.

    Args:
        temperature: by which logits are divided.
        images: on which it was fitted.
        before, after: sums `(images, 15, 3)` of [`bin_sums`] at the temperature 1 and at this one. Fitted temperatures
            are tested on other images than they were fitted on: `after` has each half of the images at the temperature
            of the other half.
        loss_before, loss_after: negative log-likelihood (nats), likewise.
    """

    temperature: float
    images: int
    before: np.ndarray
    after: np.ndarray
    loss_before: float
    loss_after: float

    @property
    def values(self) -> dict[str, float]:
        """The expected calibration errors and losses, for JSON."""
        errors = [float(calibration_error(sums, np.ones((1, len(sums))))[0]) for sums in (self.before, self.after)]
        return {
            "temperature": self.temperature,
            "images": self.images,
            "calibration_error_before": errors[0],
            "calibration_error_after": errors[1],
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
        }


def calibrate_classes(answers: Answers, stored: float | None = None) -> Calibration:
    """Of the most probable class of each image. `stored`: report this temperature instead of fitting one."""
    return _calibration(
        answers,
        lambda part: fit_class_temperature(part.logits, part.labels),
        class_bins,
        lambda part, temperature: class_likelihood_loss(part.logits, part.labels, temperature),
        stored,
    )


def calibrate_maps(answers: Answers, stored: float | None = None) -> Calibration | None:
    """Of every patch of the true class's map, against its mask; `None` if no image has a mask to the pixel."""
    known = np.isfinite(answers.coverage).any((1, 2))
    if known.sum() < 2:
        return None
    return _calibration(
        answers[known],
        lambda part: fit_map_temperature(part.map_logits, part.coverage),
        map_bins,
        lambda part, temperature: map_likelihood_loss(part.map_logits, part.coverage, temperature),
        stored,
    )


def class_bins(answers: Answers, temperature: float) -> np.ndarray:
    """The sums of [`bin_sums`] of the most probable classes, at a temperature."""
    logits = answers.logits.astype(np.float64) / temperature
    odds = np.exp(logits - logits.max(1, keepdims=True))
    confidence = odds.max(1, keepdims=True) / odds.sum(1, keepdims=True)
    return bin_sums(confidence, top_k_hits(answers.logits, answers.labels, 1)[:, None])


def map_bins(answers: Answers, temperature: float) -> np.ndarray:
    """The sums of [`bin_sums`] of the patches, at a temperature; the outcome is the covered fraction."""
    logits = answers.map_logits.reshape(len(answers), -1).astype(np.float64) / temperature
    coverage = answers.coverage.reshape(len(answers), -1)
    known = np.isfinite(coverage)
    return bin_sums(np.exp(-np.logaddexp(0, -logits)), np.where(known, coverage, 0), known)


def _calibration(
    answers: Answers,
    fit: Callable[[Answers], float],
    bins: Callable[[Answers, float], np.ndarray],
    loss: Callable[[Answers, float], float],
    stored: float | None,
) -> Calibration:
    temperature = fit(answers) if stored is None else stored
    order = np.random.default_rng(0).permutation(len(answers))
    halves = [answers[order[::2]], answers[order[1::2]]]
    others = [temperature] * 2 if stored is not None else [fit(half) for half in halves[::-1]]
    after = [bins(half, other) for half, other in zip(halves, others, strict=True)]
    losses = [loss(half, other) for half, other in zip(halves, others, strict=True)]
    return Calibration(
        temperature,
        len(answers),
        bins(answers, 1.0),
        np.concatenate(after),
        loss(answers, 1.0),
        float(np.average(losses, weights=[len(half) for half in halves])),
    )
