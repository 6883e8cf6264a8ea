import pytest
import torch

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.training.build_model import build_model
from modeling_pm_vit.training.model_arguments import ModelArguments

from .conftest import write_sure_model


@pytest.mark.parametrize("side", [16, 32, 48])
def test_a_checkpoint_gets_positions_of_its_own_for_another_size_of_images(side, tmp_path):
    write_sure_model(tmp_path / "32")
    source = PMViTForImageClassification.from_pretrained(tmp_path / "32").eval()
    names = list(source.config.id2label.values())
    model, processor = build_model(ModelArguments(model=str(tmp_path / "32"), image_size=side), names, 1.0)
    pixels = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = source(pixels, explain_labels=1)  # interpolates
        assert torch.allclose(model.eval()(pixels).logits, expected.logits, atol=1e-5)
    assert model.config.image_size == side and processor.size.height == side
    assert model.vit.embeddings.position_embeddings.shape[1] == 1 + (side // 8) ** 2

    model.save_pretrained(tmp_path / "other")
    loaded = PMViTForImageClassification.from_pretrained(tmp_path / "other").eval()
    with torch.no_grad():
        assert torch.allclose(loaded(pixels, explain_labels=1).mask_logits, expected.mask_logits, atol=1e-5)


def test_positions_of_frozen_layers_stay_frozen(tmp_path):
    write_sure_model(tmp_path / "32")
    model, _ = build_model(ModelArguments(model=str(tmp_path / "32"), image_size=16, frozen_layers=1), ["a", "b"], 1.0)
    assert not model.vit.embeddings.position_embeddings.requires_grad
