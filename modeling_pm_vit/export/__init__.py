"""Export of a PM-ViT to ONNX, for inference with onnxruntime only."""

from .agreement import MIN_AGREEMENT, measure_agreement, shortfalls
from .folder import FILES, export_folder, problems_of_export
from .transformers_js import write_configs

__all__ = [
    "FILES",
    "MIN_AGREEMENT",
    "export_folder",
    "measure_agreement",
    "problems_of_export",
    "shortfalls",
    "write_configs",
]
