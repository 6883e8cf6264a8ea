"""Conversion of Vision Transformers of transformers and timm to PM-ViT.

A source that a PM-ViT cannot represent exactly is refused. Every conversion is compared with its source.
"""

from .converter import Conversion, convert

__all__ = ["Conversion", "convert"]
