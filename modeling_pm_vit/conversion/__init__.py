"""Any plain Vision Transformer as a PM-ViT: checkpoints of transformers (ViT, DINOv2) and of timm.

What a PM-ViT cannot represent exactly is refused, and every conversion is checked against its source.
"""

from .converter import Conversion, convert

__all__ = ["Conversion", "convert"]
