"""Calibration: how far the probabilities of a model can be trusted, fitted on held-out images and stored with it."""

from .arguments import CalibrationArguments
from .run import calibrate

__all__ = ["CalibrationArguments", "calibrate"]
