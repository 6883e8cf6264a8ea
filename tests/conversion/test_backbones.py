"""Sources whose backbone is kept: equal to them, with their classifier, their classes and their image processor."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from transformers import CLIPImageProcessor

from modeling_pm_vit.conversion import convert
from tests.backbones import NEW, SETTINGS, STOCK, TIMM, composite, every_stock, noisy

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@every_stock
@torch.no_grad()
def test_the_classifier_is_kept_or_replaced(case, tmp_path):
    stock = case.build()
    stock.save_pretrained(tmp_path)
    model, processor, difference, new_classifier = convert(tmp_path)
    assert difference <= 1e-5 and not new_classifier
    torch.testing.assert_close(model(PIXELS).logits, stock(PIXELS).logits, atol=1e-5, rtol=0)
    assert (processor.size.height, processor.patch_size) == (32, 8)
    model, processor, difference, new_classifier = convert(stock, labels=["a", "b"], image_size=(32, 64))
    assert difference <= 1e-4 and new_classifier and model(PIXELS).logits.shape == (2, 2)
    assert (processor.size.height, processor.size.width) == (32, 64)


def test_the_image_processor_is_that_of_the_source(tmp_path):
    noisy(transformers.CLIPModel(transformers.CLIPConfig(**composite()))).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 32}).save_pretrained(tmp_path)
    model, processor, *_ = convert(tmp_path, num_labels=3)
    expected = CLIPImageProcessor()
    assert list(processor.image_mean) == list(expected.image_mean) and processor.resample == expected.resample
    assert (processor.size.height, processor.do_center_crop) == (32, False)
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    assert model.explain(image, image_processor=processor)["heatmaps"].shape == (1, 40, 50)


@pytest.mark.parametrize("stock", ["vit", "dinov2", "deit", "ijepa"])
@torch.no_grad()
def test_a_new_classifier_reads_what_is_asked_for(stock):
    source = STOCK[stock].build()
    model = convert(source, num_labels=3, pooling="mean").model
    outputs = model(PIXELS, explain_labels=3)
    means, logits = outputs.mask_logits.mean((-1, -2)), outputs.logits.gather(1, outputs.explain_labels)
    assert model.config.pooling == "mean"
    torch.testing.assert_close(means, logits, atol=1e-5, rtol=0)
    own = STOCK[stock].pooling
    assert convert(source, pooling=own).model.config.pooling == own  # that of the kept one
    with pytest.raises(ValueError, match=f"the classifier of the source reads '{own}', not 'cls"):
        convert(source, pooling="cls_mean" if own == "cls" else "cls")
    if stock == "ijepa":
        with pytest.raises(ValueError, match="reads a class token, which a 'ijepa'"):
            convert(source, num_labels=3, pooling="cls")


def test_dinov3_gets_a_new_classifier(tmp_path):
    source = noisy(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**SETTINGS, num_register_tokens=3)))
    with pytest.raises(ValueError, match="the source has no classes"):
        convert(source)
    model, _, difference, new_classifier = convert(source, num_labels=4)
    assert new_classifier and difference <= 1e-5 and model.config.pooling == "cls"


@pytest.mark.parametrize("family", [name for name in NEW if name.startswith("timm")])
@torch.no_grad()
def test_models_of_timm(family, tmp_path):
    timm = pytest.importorskip("timm")
    config = NEW[family]()
    source = noisy(timm.create_model(config.architecture, num_classes=5, **config.model_args))
    described = {"architecture": config.architecture, "num_classes": 5, "model_args": config.model_args}
    means = {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "num_classes": 5}
    (tmp_path / "config.json").write_text(json.dumps(described | {"pretrained_cfg": means}))
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    model, processor, _, new_classifier = convert(tmp_path)
    assert not new_classifier and list(processor.image_mean) == [0.1, 0.2, 0.3]
    torch.testing.assert_close(model(PIXELS).logits, source(PIXELS), atol=1e-5, rtol=0)
    assert (model.config.backbone_config is None) == (family == "timm_wrapper")  # a plain ViT is equal to that one


def test_a_timm_model_that_cannot_be_one_is_refused(tmp_path):
    timm = pytest.importorskip("timm")
    source = timm.create_model("vit_tiny_patch16_224", num_classes=5, global_pool="map", **TIMM)
    described = {"architecture": "vit_tiny_patch16_224", "num_classes": 5, "model_args": TIMM | {"global_pool": "map"}}
    (tmp_path / "config.json").write_text(json.dumps(described | {"pretrained_cfg": {"num_classes": 5}}))
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"pools by 'map'.*siglip_gap_224"):
        convert(tmp_path)
