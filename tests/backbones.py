"""A tiny model with random weights of every family of backbones, and what its classifier in transformers reads."""

from dataclasses import dataclass, field

import pytest
import torch
import transformers
from transformers import TimmWrapperConfig

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification

SIZES = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
SETTINGS = SIZES | {"intermediate_size": 32}
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
TIMM = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
CLASSES = 5


@dataclass(frozen=True)
class Case:
    """A family: its classifier in transformers, what that reads, and its number of tokens before the patches."""

    stock: str
    pooling: str
    prefix: int
    settings: dict = field(default_factory=lambda: SETTINGS)

    def build(self):
        torch.manual_seed(0)
        model_class = getattr(transformers, f"{self.stock}ForImageClassification")
        return noisy(model_class(model_class.config_class(**self.settings, num_labels=CLASSES)))


def composite():
    return {"vision_config": SETTINGS, "text_config": TEXT}


STOCK = {
    "vit": Case("ViT", "cls", 1),
    "vit_msn": Case("ViTMSN", "cls", 1),
    "deit": Case("DeiT", "cls", 2),
    "dinov2": Case("Dinov2", "cls_mean", 1, SIZES),
    "dinov2, SwiGLU": Case("Dinov2", "cls_mean", 1, SIZES | {"use_swiglu_ffn": True}),
    "dinov2_with_registers": Case("Dinov2WithRegisters", "cls_mean", 4, SIZES | {"num_register_tokens": 3}),
    "ijepa": Case("IJepa", "mean", 0),
    "beit": Case("Beit", "mean", 1, SETTINGS | {"use_relative_position_bias": True}),
    "beit, shared": Case("Beit", "mean", 1, SETTINGS | {"use_shared_relative_position_bias": True}),
    "beit, class token": Case(
        "Beit", "cls", 1, SETTINGS | {"use_mean_pooling": False, "use_absolute_position_embeddings": True}
    ),
    "siglip_vision_model": Case("Siglip", "mean", 0, composite()),
    "clip_vision_model": Case("CLIP", "mean", 1, composite()),
}
NEW = {  # no classifier in transformers, or one of timm
    "dinov3_vit": lambda: transformers.DINOv3ViTConfig(**SETTINGS, num_register_tokens=3),
    "dinov3_vit, SwiGLU": lambda: transformers.DINOv3ViTConfig(**SETTINGS, use_gated_mlp=True),
    "timm_wrapper": lambda: timm_config("vit_tiny_patch16_224"),
    "timm_wrapper, mean": lambda: timm_config(
        "vit_base_patch16_siglip_gap_224", reg_tokens=2, class_token=True, global_pool="avg"
    ),
    "timm_wrapper, norm of the mean": lambda: timm_config("vit_tiny_patch16_224", global_pool="avg"),
    "timm_wrapper, Eva": lambda: timm_config("vit_small_patch16_dinov3"),
}


def timm_config(architecture, **arguments):
    pytest.importorskip("timm")
    return TimmWrapperConfig(architecture=architecture, model_args=TIMM | arguments)


def noisy(model):
    """Biases and norms have an effect."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def make_family(family, **settings):
    """A PM-ViT of a family with random weights."""
    torch.manual_seed(0)
    if family in NEW:
        backbone = NEW[family]()
    else:
        backbone = STOCK[family].build().config
        backbone = getattr(backbone, "vision_config", backbone)
    return noisy(PMViTForImageClassification(PMViTConfig(backbone_config=backbone, num_labels=CLASSES, **settings)))


every_stock = pytest.mark.parametrize("case", STOCK.values(), ids=STOCK)
every_family = pytest.mark.parametrize("family", [*STOCK, *NEW])
