"""A PM-ViT as ONNX: classes and masks where only onnxruntime is."""

from .agreement import LEAST, measure_agreement
from .folder import FILES, export_folder

__all__ = ["FILES", "LEAST", "export_folder", "measure_agreement"]
