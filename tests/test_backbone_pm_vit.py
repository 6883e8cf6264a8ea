"""Every family of backbones, with random weights of its real architecture: equal to the classifiers of transformers."""

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import TimmWrapperConfig, pipeline

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.backbone_pm_vit import FAMILIES
from tests.backbones import (
    CLASSES,
    NEW,
    SETTINGS,
    STOCK,
    TEXT,
    composite,
    every_family,
    every_stock,
    make_family,
    noisy,
    timm_config,
)


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_every_family_is_tested():
    assert {name.partition(",")[0] for name in [*STOCK, *NEW]} == {*FAMILIES}


@every_stock
@torch.no_grad()
def test_a_stock_checkpoint_loads_completely_with_equal_logits_and_back(case, images, tmp_path):
    stock = case.build()
    expected = stock(images).logits
    stock.save_pretrained(tmp_path / "stock")
    model = PMViTForImageClassification.from_pretrained(tmp_path / "stock").eval()  # no missing or unexpected weight
    assert model.config.pooling == case.pooling and model.num_prefix_tokens == case.prefix
    torch.testing.assert_close(model(images).logits, expected, atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path / "pm")
    again = PMViTForImageClassification.from_pretrained(tmp_path / "pm").eval()
    torch.testing.assert_close(again(images).logits, expected, atol=1e-5, rtol=0)
    back = type(stock).from_pretrained(tmp_path / "pm", config=stock.config).eval()
    torch.testing.assert_close(back(images).logits, expected, atol=1e-5, rtol=0)


@every_family
@torch.no_grad()
def test_patch_logits_add_up_to_the_logit_of_the_image_where_the_classifier_reads_the_mean(family, images):
    model = make_family(family)
    outputs = model(images, explain_labels=CLASSES)
    assert outputs.mask_logits.shape == (3, CLASSES, 4, 4)
    means, logits = outputs.mask_logits.mean((-1, -2)), outputs.logits.gather(1, outputs.explain_labels)
    exact = torch.allclose(means, logits, atol=1e-5)
    assert exact == (model.config.pooling != "cls")


@every_family
@torch.no_grad()
def test_each_patch_logit_is_the_classifier_on_its_token(family, images):
    model = make_family(family)
    tokens = model.base_model(images).last_hidden_state
    assert tokens.shape[1] == model.num_prefix_tokens + 16
    if model.config.pooling == "cls_mean":
        weight_class, weight_mean = model.classifier.weight.chunk(2, dim=1)
        patches = tokens[:, model.num_prefix_tokens :] @ weight_mean.T
        expected = patches + (tokens[:, :1] @ weight_class.T) + model.classifier.bias
    else:
        patches = tokens[:, model.num_prefix_tokens :]
        if model.mean_norm is not None:  # the norm of the mean, and the difference from the mean at the same scale
            mean, norm = patches.mean(1, keepdim=True), model.mean_norm
            deviation = (mean.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
            patches = norm(mean) + norm.weight * (patches - mean) / deviation
        expected = model.classifier(patches)
    labels = torch.arange(CLASSES).expand(3, -1)
    found = model(images, explain_labels=labels).mask_logits
    torch.testing.assert_close(found, expected.transpose(1, 2).unflatten(-1, (4, 4)), atol=1e-5, rtol=0)


@every_family
def test_saved_and_loaded_it_explains_photographs_of_any_shape(family, tmp_path):
    model = make_family(family, id2label=dict(enumerate("abcde")))
    model.save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    PMViTImageProcessor(size=size, patch_size=8, image_mean=[0.5] * 3, resample=3).save_pretrained(tmp_path)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8))
    loaded = PMViTForImageClassification.from_pretrained(tmp_path)
    expected = model.explain(photo, ["c"], image_processor=PMViTImageProcessor.from_pretrained(tmp_path))
    found = loaded.explain(photo, ["c"])
    torch.testing.assert_close(found["heatmaps"], expected["heatmaps"])
    assert found["heatmaps"].shape == (1, 40, 90)
    finer = loaded.explain(photo, ["c"], map_size="grid", keep_aspect_ratio=True)
    assert finer["heatmaps"].shape[-1] > 4
    explained = pipeline(
        "image-explanation", model=loaded, image_processor=PMViTImageProcessor.from_pretrained(tmp_path)
    )
    assert explained(photo, labels=["c"])[0]["score"] == pytest.approx(found["scores"].item(), abs=1e-6)


@every_family
def test_the_mask_loss_reaches_every_weight(family, images):
    model = make_family(family).train()
    masks = torch.rand(3, 1, 4, 4)
    model(images, labels=torch.tensor([0, 1, 2]), mask_labels=masks).loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


REFUSED = {
    "swin": ({"model_type": "swin"}, "hierarchical.*DINOv2"),
    "convolutions of DINOv3": ({"model_type": "dinov3_convnext"}, "hierarchical.*DINOv3"),
    "NaFlex": ({"model_type": "siglip2"}, "NaFlex.*siglip2-base-patch16-224"),
    "distillation token": (
        {"model_type": "deit", "architectures": ["DeiTForImageClassificationWithTeacher"]},
        "distillation token.*deit-small-patch16-224",
    ),
    "old form": ({"model_type": "data2vec-vision"}, "older form.*BEiT"),
    "another": ({"model_type": "bert"}, "not known. Backbones are vit, "),
}


@pytest.mark.parametrize("settings, message", REFUSED.values(), ids=REFUSED)
def test_other_models_are_refused_with_the_nearest_that_works(settings, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(
        ValueError, match=f"{tmp_path} is a model of the type '.*', which cannot be a PM-ViT: .*{message}"
    ):
        PMViTForImageClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        PMViTConfig(backbone_config=settings)


TIMM_REFUSED = {
    "vit_base_patch16_siglip_224": "pools by 'map'.*siglip_gap_224",
    "deit_tiny_distilled_patch16_224": "distillation token.*deit_small_patch16_224",
    "no_such_vit": "no architecture 'no_such_vit'",
    "resnet18": "not a ViT.*vit_small_patch16_224",
    "swin_tiny_patch4_window7_224": "not a ViT",
    "naflexvit_base_patch16_gap": "not a ViT",
    "beit_base_patch16_224": "not a ViT",
}


@pytest.mark.parametrize("architecture, message", TIMM_REFUSED.items(), ids=TIMM_REFUSED)
def test_other_models_of_timm_are_refused_with_the_nearest_that_works(architecture, message):
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match=message):
        PMViTConfig(backbone_config=TimmWrapperConfig(architecture=architecture))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"fc_norm": True}, r"the class token through a LayerNorm \(fc_norm\).*siglip_gap_224"),
        ({"global_pool": "avg", "norm_layer": torch.nn.RMSNorm}, "the mean through a RMSNorm"),
        ({"global_pool": "avg", "pool_include_prefix": True}, "averages the prefix tokens too.*siglip_gap_224"),
    ],
)
def test_a_timm_model_whose_patches_have_no_exact_logits_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PMViTConfig(backbone_config=timm_config("vit_tiny_patch16_224", **arguments))


@pytest.mark.parametrize("family", ["beit", "timm_wrapper, norm of the mean"])
def test_tokens_whose_norm_comes_after_the_mean_are_read_by_their_mean_only(family):
    with pytest.raises(ValueError, match=r"pooling 'cls' reads final tokens, .* its pooling is 'mean'"):
        make_family(family, pooling="cls")


@torch.no_grad()
def test_a_norm_of_the_mean_is_as_exact_in_half_precision(images):
    model = make_family("beit")
    expected = model(images, explain_labels=CLASSES)
    found = model.bfloat16()(images.bfloat16(), explain_labels=expected.explain_labels)
    assert found.mask_logits.dtype == torch.bfloat16
    torch.testing.assert_close(found.mask_logits.float(), expected.mask_logits, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("family", ["siglip_vision_model", "ijepa"])
@pytest.mark.parametrize("pooling", ["cls", "cls_mean"])
def test_a_class_token_that_is_not_there_cannot_be_read(family, pooling):
    with pytest.raises(ValueError, match=f"pooling '{pooling}' reads a class token, which a '{family}'"):
        make_family(family, pooling=pooling)


def test_nor_when_a_checkpoint_is_loaded_with_another_pooling(tmp_path):
    STOCK["siglip_vision_model"].build().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pooling 'cls' reads a class token, which a 'siglip_vision_model'"):
        PMViTForImageClassification.from_pretrained(tmp_path, num_labels=3, pooling="cls")


@pytest.mark.parametrize("pooling", ["mean", "cls_mean"])
@torch.no_grad()
def test_a_plain_vit_can_be_read_by_its_mean_too(pooling, images, make_model):
    outputs = make_model(pooling=pooling)(images, explain_labels=5)
    means = outputs.mask_logits.mean((-1, -2))
    torch.testing.assert_close(means, outputs.logits.gather(1, outputs.explain_labels), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_backbone_without_a_classifier_gets_a_new_one(tmp_path, images):
    for name, backbone in (
        ("dinov3", transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**SETTINGS, num_register_tokens=3))),
        ("clip", transformers.CLIPModel(transformers.CLIPConfig(**composite()))),
        ("siglip", transformers.SiglipModel(transformers.SiglipConfig(**composite()))),
    ):
        noisy(backbone).save_pretrained(tmp_path / name)
        with pytest.raises(ValueError, match="2 missing"):
            PMViTForImageClassification.from_pretrained(tmp_path / name)
        model = PMViTForImageClassification.from_pretrained(tmp_path / name, num_labels=CLASSES).eval()
        vision = getattr(backbone, "vision_model", backbone)
        torch.testing.assert_close(model.run_backbone(images).last_hidden_state, vision(images).last_hidden_state)


def small(**changes):
    """ViT-S/16, as DINOv3 has it; the DINOv2 of this size has 14 x 14 patches and a position for each of 37 x 37."""
    return {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6} | changes


@pytest.mark.slow
@torch.no_grad()
def test_at_the_sizes_of_published_models_the_logits_are_those_of_transformers(tmp_path):
    """The architectures of the published checkpoints, with random weights, as these cannot be part of the tests."""
    torch.manual_seed(0)
    photographs = torch.randn(1, 3, 224, 224)
    registers = small(num_register_tokens=4)
    for name, config, pooling in (
        (
            "Dinov2WithRegistersForImageClassification",  # facebook/dinov2-with-registers-small
            transformers.Dinov2WithRegistersConfig(**registers, image_size=518, patch_size=14, num_labels=1000),
            "cls_mean",
        ),
        (
            "SiglipForImageClassification",  # google/siglip-base-patch16-224
            transformers.SiglipConfig(vision_config={}, text_config=TEXT, num_labels=1000),
            "mean",
        ),
        (
            "DINOv3ViTModel",  # facebook/dinov3-vits16-pretrain-lvd1689m
            transformers.DINOv3ViTConfig(**registers, intermediate_size=1536, num_labels=1000),
            "mean",
        ),
    ):
        stock = getattr(transformers, name)(config).eval()
        stock.save_pretrained(tmp_path / name)
        wanted = {} if name.endswith("Classification") else {"num_labels": 1000, "pooling": pooling}
        model = PMViTForImageClassification.from_pretrained(tmp_path / name, **wanted).eval()
        assert model.config.pooling == pooling
        outputs = model(photographs, explain_labels=3)
        if name.endswith("Classification"):
            expected = stock(photographs).logits
        else:
            tokens = stock(photographs).last_hidden_state[:, 1 + config.num_register_tokens :]
            expected = model.classifier(tokens.mean(1))
        torch.testing.assert_close(outputs.logits, expected, atol=1e-5, rtol=0)
        means = outputs.mask_logits.mean((-1, -2))
        torch.testing.assert_close(means, outputs.logits.gather(1, outputs.explain_labels), atol=1e-5, rtol=0)
