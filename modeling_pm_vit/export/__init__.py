"""Export of a PM-ViT to ONNX, for inference with onnxruntime only."""

from .agreement import MIN_AGREEMENT, measure_agreement
from .folder import FILES, export_folder

__all__ = ["FILES", "MIN_AGREEMENT", "export_folder", "measure_agreement"]
