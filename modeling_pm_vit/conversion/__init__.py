"""Conversion of plain Vision Transformers to PM-ViT: checkpoints of transformers (ViT, DINOv2) and of timm.

A source that a PM-ViT cannot represent exactly is refused. Every conversion is compared with its source.
"""

from .converter import Conversion, convert

__all__ = ["Conversion", "convert"]
