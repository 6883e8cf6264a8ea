import pytest
import torch

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.training.attention import choose_attention

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.mark.parametrize(
    ("image_size", "device", "bf16", "expected"),
    [
        (64, "cpu", True, "eager"),
        (128, "cpu", True, "eager"),
        (136, "cpu", True, "sdpa"),  # 17 x 17 patches
        (64, "cpu", False, "sdpa"),
        (64, "cuda", True, "sdpa"),
    ],
)
def test_short_sequences_in_bfloat16_on_a_cpu_are_attended_eagerly(image_size, device, bf16, expected, tmp_path):
    model = PMViTForImageClassification(PMViTConfig(image_size=64, patch_size=8, num_labels=3, **SIZES))
    choose_attention(model, image_size, torch.device(device), bf16)
    assert model.config._attn_implementation == expected
    model.save_pretrained(tmp_path)  # how it was trained does not travel
    assert PMViTForImageClassification.from_pretrained(tmp_path).config._attn_implementation == "sdpa"
