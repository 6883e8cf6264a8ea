"""PM-ViT: a Vision Transformer that shows what it saw."""

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification
from transformers.utils import is_torchvision_available

from .configuration_pm_vit import PMViTConfig
from .figure_pm_vit import figure
from .image_loading_pm_vit import load_image
from .image_processing_pm_vit import PMViTImageProcessor
from .modeling_pm_vit import PMViTForImageClassification, PMViTImageClassifierOutput
from .overlay_pm_vit import heatmap, overlay
from .pipeline_pm_vit import ImageExplanationPipeline
from .result_pm_vit import Explanation
from .utils.pretrained import PRETRAINED
from .visualization import heatmap_image

__version__ = "0.1.0"

# `exist_ok`: a checkpoint's own copy of this code may have been loaded, and registered, before.
AutoConfig.register(PMViTConfig.model_type, PMViTConfig, exist_ok=True)
AutoModel.register(PMViTConfig, PMViTForImageClassification, exist_ok=True)
AutoModelForImageClassification.register(PMViTConfig, PMViTForImageClassification, exist_ok=True)
# Under the name of its backend: under another, transformers warns that the one it wants is missing.
_BACKEND = "torchvision" if is_torchvision_available() else "pil"
AutoImageProcessor.register(PMViTConfig, image_processor_classes={_BACKEND: PMViTImageProcessor}, exist_ok=True)

__all__ = [
    "PRETRAINED",
    "Explanation",
    "ImageExplanationPipeline",
    "PMViTConfig",
    "PMViTForImageClassification",
    "PMViTImageClassifierOutput",
    "PMViTImageProcessor",
    "__version__",
    "figure",
    "heatmap",
    "heatmap_image",
    "load_image",
    "overlay",
]
