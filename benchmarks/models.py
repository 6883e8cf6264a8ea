"""The measured models: PM-ViT in the usual sizes with random weights, and timm's ViT as a baseline."""

from dataclasses import dataclass

import torch
from torch import nn

from modeling_pm_vit.configuration_pm_vit import PMViTConfig
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification


@dataclass(frozen=True)
class Size:
    """A ViT with patches of 16 pixels; `gmacs`: billions of multiply-adds of a forward pass at 224 px."""

    hidden: int
    layers: int
    heads: int
    gmacs: float


# Touvron et al., *Training data-efficient image transformers*, ICML 2021; L: Dosovitskiy et al., ICLR 2021.
SIZES = {
    "Ti": Size(192, 12, 3, 1.3),
    "S": Size(384, 12, 6, 4.6),
    "B": Size(768, 12, 12, 17.6),
    "L": Size(1024, 24, 16, 61.6),
}


def random_pm_vit(size: Size, num_labels: int, image_size: int = 224) -> PMViTForImageClassification:
    """A PM-ViT in evaluation mode. Its weights do not affect its cost."""
    config = PMViTConfig(
        image_size=image_size,
        hidden_size=size.hidden,
        intermediate_size=4 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_labels=num_labels,
    )
    with torch.device("meta"):  # the usual initialisation of a large model takes longer than measuring it
        model = PMViTForImageClassification(config)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(name.endswith("weight"))
            else:
                parameter.normal_(0, 0.02, generator=generator)
    return model.eval()


def timm_baseline(model: nn.Module) -> nn.Module:
    """`timm`'s ViT of the same sizes, with random weights."""
    from timm.models.vision_transformer import VisionTransformer

    config = model.config
    return (
        VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.hidden_size,
            depth=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            num_classes=config.num_labels,
        )
        .to(model.device, model.dtype)
        .eval()
    )
