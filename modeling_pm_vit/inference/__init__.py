"""Explanations of many photographs: pictures and a page, JSON, or parquet (module `parquet`, extra `train`)."""

from ..explanation_pm_vit import Prediction
from .files import find_images
from .folder import explain_files
from .predictor import OnnxPredictor, Predictor, TorchPredictor, open_predictor

__all__ = [
    "OnnxPredictor",
    "Prediction",
    "Predictor",
    "TorchPredictor",
    "explain_files",
    "find_images",
    "open_predictor",
]
