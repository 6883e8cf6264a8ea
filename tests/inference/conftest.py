import pytest
import torch

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model whose map of class 'red' is the redness of the patch, saved with its processor."""
    config = PMViTConfig(
        **{"image_size": 32, "patch_size": 8, "hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 0},
        **{"id2label": {0: "red", 1: "not red"}, "label2id": {"red": 0, "not red": 1}},
    )
    model = PMViTForImageClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.vit.layernorm.weight.fill_(1)
        model.vit.embeddings.patch_embeddings.projection.weight[0, 0] = 1 / 64
        model.vit.embeddings.patch_embeddings.projection.weight[1, 0] = -1 / 64
        model.vit.embeddings.patch_embeddings.projection.bias[1] = 1.0
        model.classifier.weight[0, 0], model.classifier.weight[0, 1] = 4.0, -4.0
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    processor = PMViTImageProcessor(
        size={"height": 32, "width": 32}, patch_size=8, image_mean=[0] * 3, image_std=[1] * 3
    )
    processor.save_pretrained(path)
    return path
