import os
import tempfile

# Before the libraries read them: no test may reach for a network, or leave anything in the user's caches.
_home = tempfile.TemporaryDirectory(prefix="pm-vit-tests-")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": _home.name}

import pytest
import torch

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 5,
}


@pytest.fixture(scope="session")
def tiny():
    """Settings of a model that takes milliseconds."""
    return dict(TINY)


@pytest.fixture(scope="session")
def make_model():
    """A tiny model, the same weights each time for the same settings; in evaluation mode."""

    def make(**settings) -> PMViTForImageClassification:
        torch.manual_seed(0)
        settings = TINY | settings
        if "id2label" in settings:
            del settings["num_labels"]
        model = PMViTForImageClassification(PMViTConfig(**settings)).eval()
        with torch.no_grad():  # biases count
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter += 0.1 * torch.randn_like(parameter)
        return model

    return make


@pytest.fixture(scope="session")
def make_processor():
    def make(**settings) -> PMViTImageProcessor:
        return PMViTImageProcessor(**({"size": {"height": 32, "width": 32}, "patch_size": 8} | settings))

    return make
