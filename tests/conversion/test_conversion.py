"""Conversion of ViTs of transformers and timm: equal features, refusals, classes, image processors."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    BitImageProcessor,
    Data2VecVisionConfig,
    Data2VecVisionModel,
    DeiTConfig,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    SwinConfig,
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
    ViTImageProcessor,
    ViTModel,
)

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.conversion import convert, converter

ROOT = Path(__file__).parents[2]
SALIENCY = ROOT.parent / "shared" / "models" / "vit-s14-saliency"
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
TIMM = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5}


def randomize(model: nn.Module) -> nn.Module:
    """Sets all parameters to random values: initial values such as 0 or 1 can hide an error."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.empty_like(parameter).normal_(0.3, 0.5, generator=generator)
    return model.eval()


def vit(cls=ViTForImageClassification, **config) -> nn.Module:
    classes = {} if "id2label" in config else {"num_labels": 5}
    return randomize(cls(ViTConfig(**(SMALL | {"intermediate_size": 64} | classes | config))))


def dinov2(cls=Dinov2Model, **config) -> nn.Module:
    return randomize(cls(Dinov2Config(**(SMALL | {"num_labels": 5} | config))))


def timm_vit(name: str = "vit_tiny_patch16_224", **arguments) -> nn.Module:
    timm = pytest.importorskip("timm")
    return randomize(timm.create_model(name, **(TIMM | arguments)))


def pixels(height: int = 32, width: int | None = None) -> torch.Tensor:
    return torch.randn(2, 3, height, width or height, generator=torch.Generator().manual_seed(1))


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.std() > 0.05  # else anything would be close
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


VITS = {
    "defaults": {},
    "eps": {"layer_norm_eps": 0.1},
    "no qkv bias": {"qkv_bias": False},
    "activation": {"hidden_act": "quick_gelu"},
    "wide MLP": {"intermediate_size": 200},
    "patch in a list": {"patch_size": [8, 8]},
    "oblong image": {"image_size": [32, 48]},
    "oblong patch": {"patch_size": [8, 4]},
}


@pytest.mark.parametrize("config", VITS.values(), ids=VITS)
@torch.no_grad()
def test_vit(config):
    source = vit(**config)
    model, processor, difference, new_classifier = convert(source)
    height, width = source.vit.embeddings.patch_embeddings.image_size
    assert_same(model(pixels(height, width)).logits, source(pixels(height, width)).logits)
    assert difference <= 1e-4 and not new_classifier
    assert processor.size == {"height": height, "width": width}
    assert processor.patch_size == model.config.patch_size
    assert not model.training and model.dtype == torch.float32


@pytest.mark.parametrize("size", [48, (24, 40)], ids=str)
@pytest.mark.parametrize("make", [vit, dinov2])
@torch.no_grad()
def test_positions_for_another_image_size_are_those_of_the_source(make, size):
    source = make(patch_size=[8, 8])
    model, processor, *_ = convert(source, num_labels=5, image_size=size)
    height, width = (size, size) if isinstance(size, int) else size
    assert model.config.image_size == size
    assert processor(torch.zeros(3, 50, 60), return_tensors="pt").pixel_values.shape[-2:] == (height, width)
    embeddings = source.base_model.embeddings
    embeddings.patch_size = 8  # the ViT of transformers interpolates with a number only
    resized = {"interpolate_pos_encoding": True} if make is vit else {}
    expected = source.base_model(pixels(height, width), **resized).last_hidden_state
    assert_same(model.vit(pixels(height, width)).last_hidden_state, expected)


DINOV2S = {
    "defaults": {},
    "eps": {"layer_norm_eps": 0.1},
    "no qkv bias": {"qkv_bias": False},
    "activation": {"hidden_act": "relu"},
    "MLP ratio": {"mlp_ratio": 3},
    "no mask token": {"use_mask_token": False},
}


@pytest.mark.parametrize("config", DINOV2S.values(), ids=DINOV2S)
@torch.no_grad()
def test_dinov2(config):
    source = dinov2(**config)
    before = source.encoder.layer[0].attention.o_proj.weight.clone()
    model, _, difference, new_classifier = convert(source, num_labels=3)
    assert_same(model.vit(pixels()).last_hidden_state, source(pixels()).last_hidden_state)
    assert difference <= 1e-4 and new_classifier
    assert torch.equal(source.encoder.layer[0].attention.o_proj.weight, before)  # the source is left alone


@torch.no_grad()
def test_dinov2_classifier_is_kept_with_its_backbone():
    source = dinov2(Dinov2ForImageClassification, id2label=dict(enumerate("abcde")))
    model, *_, new_classifier = convert(source)
    assert not new_classifier and list(model.config.id2label.values()) == list("abcde")
    assert model.config.pooling == "cls_mean" and model.config.backbone_config.model_type == "dinov2"
    assert_same(model(pixels()).logits, source(pixels()).logits)
    plain, *_, new_classifier = convert(source, num_labels=3)
    assert new_classifier and plain.config.backbone_config is None


@pytest.mark.parametrize(
    "source",
    [
        vit(ViTModel),
        vit(ViTForMaskedImageModeling, encoder_stride=8),
        vit(),
        dinov2(),
    ],
    ids=lambda source: type(source).__name__,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@torch.no_grad()
def test_from_a_folder(source, dtype, tmp_path):
    source.to(dtype).save_pretrained(tmp_path)
    source.float()
    model, _, difference, new_classifier = convert(tmp_path, num_labels=5)
    assert_same(model.vit(pixels()).last_hidden_state, source.base_model(pixels()).last_hidden_state)
    assert difference <= 1e-4
    assert new_classifier == (type(source) is not ViTForImageClassification)


def old_names(key: str) -> str:
    for new, old in {
        "layers.": "encoder.layer.",
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }.items():
        key = key.replace(new, old)
    return key


@torch.no_grad()
def test_checkpoint_with_the_names_of_older_transformers(tmp_path):
    source = vit()
    source.save_pretrained(tmp_path)
    # `save_pretrained` may write either set of names.
    weights = {key: value.contiguous() for key, value in source.state_dict().items()}
    save_file(
        {old_names(key): value for key, value in weights.items()}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    assert any("attention.attention.query" in key for key in load_file(tmp_path / "model.safetensors"))
    assert_same(convert(tmp_path).model(pixels()).logits, source(pixels()).logits)


TIMMS = {
    "defaults": {},
    "LayerScale": {"init_values": 1e-5},
    "no qkv bias": {"qkv_bias": False},
    "no other bias": {"proj_bias": False},
    "class token without position": {"no_embed_class": True},
    "any image size": {"dynamic_img_size": True},
    "norm after the pooling": {"fc_norm": True},
    "eps": {"norm_layer": lambda *args, **kwargs: nn.LayerNorm(*args, **(kwargs | {"eps": 0.1}))},
    "activation": {"act_layer": "quick_gelu"},
    "tanh activation": {"act_layer": "gelu_tanh"},
    "oblong image": {"img_size": (32, 48)},
    "MLP ratio": {"mlp_ratio": 3.0},
}


@pytest.mark.parametrize("arguments", TIMMS.values(), ids=TIMMS)
@torch.no_grad()
def test_timm(arguments):
    source = timm_vit(**arguments)
    model, processor, difference, new_classifier = convert(source)
    size = source.patch_embed.img_size
    assert_same(model(pixels(*size)).logits, source(pixels(*size)))
    assert difference <= 1e-4 and not new_classifier
    assert processor.size == {"height": size[0], "width": size[1]}
    assert list(processor.image_mean) == list(source.pretrained_cfg["mean"])
    assert processor.resample == 3  # bicubic, by timm's data configuration


@pytest.mark.parametrize("arguments", [{}, {"no_embed_class": True}, {"dynamic_img_size": True}], ids=str)
@torch.no_grad()
def test_timm_at_another_image_size(arguments):
    source = timm_vit(**arguments)
    model = convert(source, image_size=48).model
    source.set_input_size(img_size=(48, 48))
    assert_same(model(pixels(48)).logits, source(pixels(48)))


@torch.no_grad()
def test_timm_pooling_replaces_only_the_classifier(caplog):
    source = timm_vit(global_pool="avg", fc_norm=False)
    model, *_, new_classifier = convert(source)
    assert new_classifier and "pooled" in caplog.text
    assert_same(model.vit(pixels()).last_hidden_state, source.forward_features(pixels()))


def save_timm(source: nn.Module, folder: Path, **config) -> Path:
    # The arguments that make the model small again stand in `model_args`.
    pretrained_cfg = {"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "num_classes": 5}
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 5, "model_args": TIMM} | config
    (folder / "config.json").write_text(json.dumps(config | {"pretrained_cfg": pretrained_cfg}))
    save_file(source.state_dict(), folder / "model.safetensors")
    return folder


@torch.no_grad()
def test_timm_folder(tmp_path):
    source = timm_vit()
    model, processor, *_ = convert(save_timm(source, tmp_path, label_names=list("abcde")))
    assert_same(model(pixels()).logits, source(pixels()))
    assert list(model.config.id2label.values()) == list("abcde")
    assert (list(processor.image_mean), list(processor.image_std)) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])


@pytest.mark.parametrize("name", ["timm/tiny", "hf-hub:timm/tiny", "hf_hub:timm/tiny", "vit_tiny_patch16_224"])
@torch.no_grad()
def test_timm_on_the_hub(name, tmp_path, monkeypatch):
    hub = pytest.importorskip("timm.models._hub")
    source = timm_vit(img_size=224, patch_size=16, embed_dim=192, depth=12, num_heads=3)
    save_timm(source, tmp_path, model_args={})
    fetched = []

    def download(repo_id, filename, **kwargs):
        fetched.append(filename)
        return str(tmp_path / filename)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    if name == "vit_tiny_patch16_224":  # the published weights have 1,000 classes
        with pytest.raises(ValueError, match=r"timm cannot load it"):
            convert(name)
    else:
        convert(name)
    assert "model.safetensors" in fetched and set(fetched) <= {"config.json", "model.safetensors"}


def test_imagenet_names_of_published_timm_weights():
    assert convert(timm_vit(num_classes=1000)).model.config.id2label[1] == "goldfish, Carassius auratus"


def test_timm_folder_without_safetensors(tmp_path):
    save_timm(timm_vit(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "open_clip_model.safetensors")
    torch.save({}, tmp_path / "pytorch_model.bin")  # timm would prefer it
    with pytest.raises(ValueError, match=r"no model\.safetensors"):
        convert(tmp_path)


def test_missing_timm_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="pip install timm"):
        convert("vit_tiny_patch16_224")


TIMM_REFUSALS = {
    "register tokens": {"reg_tokens": 2},
    "no class token": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "no learned position": {"pos_embed": "none"},
    "attention pooling": {"global_pool": "map"},
    "a norm before the first block": {"pre_norm": True},
    "final norm after average pooling": {"global_pool": "avg"},
    "norms of queries": {"qk_norm": True},
    "norms inside attention": {"scale_attn_norm": True},
    "a norm of the patch embedding": {"embed_norm_layer": "layernorm"},
    "LayerNorm with one eps": {"norm_layer": "rmsnorm"},
    "the activation Mish": {"act_layer": "mish"},
    "padded": {"dynamic_img_pad": True, "dynamic_img_size": True},
    "DiffAttention": {"attn_layer": "diff"},
}


@pytest.mark.parametrize("message", TIMM_REFUSALS)
def test_timm_refusals(message):
    with pytest.raises(ValueError, match=message):
        convert(timm_vit(**TIMM_REFUSALS[message]))


def test_timm_blocks_and_classes_refused():
    timm = pytest.importorskip("timm")
    vision_transformer = timm.models.vision_transformer
    with pytest.raises(ValueError, match="SwiGLU"):
        convert(timm_vit(mlp_layer=timm.layers.SwiGLU))
    with pytest.raises(ValueError, match="ResPostBlock"):
        convert(timm_vit(block_fn=vision_transformer.ResPostBlock))
    with pytest.raises(ValueError, match="distillation token"):
        convert(timm_vit("deit_tiny_distilled_patch16_224"))
    with pytest.raises(ValueError, match="another architecture"):
        convert(timm.create_model("resnet10t"))


@pytest.mark.parametrize(
    "config, message",
    [
        (DeiTConfig(architectures=["DeiTForImageClassificationWithTeacher"]), "distillation token"),
        (SwinConfig(), "hierarchical"),
        (Data2VecVisionConfig(), r"older form.*BEiT"),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_transformers_refusals(config, message, tmp_path):
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match=message):
        convert(tmp_path)


def test_refused_modules():
    with pytest.raises(ValueError, match=r"older form.*BEiT"):
        convert(Data2VecVisionModel(Data2VecVisionConfig(**SMALL, intermediate_size=64)))
    with pytest.raises(ValueError, match="neither transformers nor timm"):
        convert(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="a PM-ViT already"):
        convert(convert(vit()).model)
    with pytest.raises(ValueError, match="1 channels"):
        convert(vit(num_channels=1))
    with pytest.raises(ValueError, match="only from square images"):
        convert(vit(image_size=[32, 48]), image_size=32)


def test_only_safetensors_are_read(tmp_path):
    with pytest.raises(ValueError, match="safetensors only"):
        convert("somewhere/pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="no folder"):
        convert(tmp_path / "missing")
    vit().config.save_pretrained(tmp_path)
    torch.save(vit().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no safetensors file"):
        convert(tmp_path)


def test_incomplete_weights(tmp_path):
    vit().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(key for key in weights if "layernorm_after" in key)
    save_file({k: v for k, v in weights.items() if k != lost}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"missing .*layernorm_after"):
        convert(tmp_path)
    save_file(weights | {"vit.registers": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"unexpected .*registers"):
        convert(tmp_path)


def test_wrong_conversion_is_detected(monkeypatch):
    swapped = [(a, b.replace("layernorm_before", "layernorm_after_")) for a, b in converter._RENAMES]
    swapped = [(a, b.replace("layernorm_after.", "layernorm_before.")) for a, b in swapped]
    swapped = [(a, b.replace("layernorm_after_", "layernorm_after")) for a, b in swapped]
    monkeypatch.setattr(converter, "_RENAMES", swapped)
    with pytest.raises(ValueError, match="conversion is wrong"):
        convert(dinov2(), num_labels=2)


def test_classes(caplog):
    named = vit(id2label={0: "ant", 1: "bee"})
    assert convert(named).model.config.label2id == {"ant": 0, "bee": 1}
    kept = convert(named, num_labels=2)
    assert kept.model.config.id2label == {0: "ant", 1: "bee"} and not kept.new_classifier
    unnamed = convert(vit(num_labels=2), labels=["cat", "dog"])
    assert unnamed.model.config.id2label == {0: "cat", 1: "dog"} and not unnamed.new_classifier
    assert "train it" not in caplog.text
    other = convert(named, labels=["bee", "ant"])  # the rows of the classifier would have wrong names
    assert other.new_classifier and "train it" in caplog.text
    assert convert(named, num_labels=3).model.config.id2label[2] == "LABEL_2"


def test_new_classifier_depends_on_the_seed():
    source = dinov2()
    state = torch.random.get_rng_state()
    first, again, other = (convert(source, num_labels=3, seed=seed).model.classifier.weight for seed in (0, 0, 1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first != other).all()
    convert(source, num_labels=3)
    assert torch.equal(torch.random.get_rng_state(), state)  # the generator of the caller is unchanged


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "labels or num_labels"),
        ({"num_labels": 0}, "at least 1"),
        ({"labels": []}, "one or more different names"),
        ({"labels": ["a", "a"]}, "one or more different names"),
        ({"labels": ["a", "b"], "num_labels": 3}, "2 labels"),
        ({"num_labels": 2, "image_size": 30}, "patch size 8 must divide"),
        ({"num_labels": 2, "image_size": (32, 30)}, "patch size 8 must divide"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        convert(vit(ViTModel), **arguments)


@pytest.mark.parametrize(
    "processor",
    [
        ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.4] * 3),
        BitImageProcessor(image_mean=[0.5] * 3, image_std=[0.4] * 3, resample=3),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_image_processor(processor, tmp_path):
    vit().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    ours = convert(tmp_path).image_processor
    assert (list(ours.image_mean), list(ours.image_std)) == ([0.5] * 3, [0.4] * 3)
    assert ours.resample == processor.resample
    assert ours.size == {"height": 32, "width": 32} and not ours.do_center_crop


def test_default_image_processor(caplog):
    ours = convert(vit()).image_processor
    assert list(ours.image_mean) == [0.5, 0.5, 0.5] and "no preprocessor_config.json" in caplog.text


@torch.no_grad()
def test_round_trip(tmp_path):
    model, processor, *_ = convert(dinov2(), labels=["cat", "dog"], image_size=(24, 40))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, info = PMViTForImageClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(again(pixels(24, 40)).mask_logits, model(pixels(24, 40)).mask_logits)
    assert again.config.label2id == {"cat": 0, "dog": 1}
    assert PMViTImageProcessor.from_pretrained(tmp_path).to_dict() == processor.to_dict()


@pytest.mark.slow
@pytest.mark.skipif(not SALIENCY.is_dir(), reason="the backbone is not available")
@torch.no_grad()
def test_trained_backbone():
    source = Dinov2Model.from_pretrained(SALIENCY, dtype=torch.float32)
    model, processor, difference, _ = convert(SALIENCY, num_labels=10, image_size=224)
    assert difference <= 1e-4
    assert_same(model.vit(pixels(224)).last_hidden_state, source(pixels(224)).last_hidden_state)
    assert processor.resample == 3 and processor.size == {"height": 224, "width": 224}
