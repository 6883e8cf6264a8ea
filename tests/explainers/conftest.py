import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification

SETTINGS = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 4,
    "initializer_range": 0.3,  # attention is far from uniform
}


@pytest.fixture
def make():
    """A tiny model of either architecture, the same weights each time for the same settings; in evaluation mode."""

    def build(architecture: str, **settings):
        torch.manual_seed(0)
        if architecture == "pm-vit":
            return PMViTForImageClassification(PMViTConfig(**SETTINGS | settings)).eval()
        return ViTForImageClassification(ViTConfig(**SETTINGS | settings)).eval()

    return build


@pytest.fixture(params=["pm-vit", "vit"])
def model(make, request):
    return make(request.param)


@pytest.fixture
def vit(make):
    return make("vit")


@pytest.fixture
def images():
    """Three images at the model's own size."""
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def wide_images():
    """Three images of 3 x 5 patches."""
    return torch.randn(3, 3, 24, 40, generator=torch.Generator().manual_seed(1))
