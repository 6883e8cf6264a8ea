"""Loading by name: all weights are the checkpoint's, or there is an error; models without an image processor."""

import json
import logging
import warnings

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, ViTConfig, ViTForImageClassification

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.conversion import convert
from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.training.build_model import build_model
from modeling_pm_vit.training.model_arguments import ModelArguments
from modeling_pm_vit.utils.errors import InputError

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
}
OTHER_KINDS = {  # classes of transformers and their settings
    "DeiTForImageClassificationWithTeacher": ("DeiTConfig", SMALL),
    "Data2VecVisionForImageClassification": ("Data2VecVisionConfig", SMALL),
    "ViTMAEForPreTraining": ("ViTMAEConfig", SMALL),
    "SwinForImageClassification": (
        "SwinConfig",
        {"image_size": 32, "embed_dim": 8, "depths": [1], "num_heads": [1], "window_size": 4},
    ),
    "ResNetForImageClassification": ("ResNetConfig", {"hidden_sizes": [8], "depths": [1], "embedding_size": 8}),
    "BertForSequenceClassification": (
        "BertConfig",
        {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9},
    ),
    "ViTModel": ("ViTConfig", SMALL),
    "ViTForMaskedImageModeling": ("ViTConfig", SMALL | {"encoder_stride": 8}),
}


@pytest.fixture
def folder(tmp_path):
    """A ViT checkpoint of the classes a, b, c, without an image processor."""
    torch.manual_seed(0)
    settings = {name: value for name, value in SMALL.items() if name != "num_labels"}
    config = ViTConfig(**settings, id2label=dict(enumerate("abc")), label2id={"a": 0, "b": 1, "c": 2})
    ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def change_weights(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def change_config(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize("load", [load_model, PMViTForImageClassification.from_pretrained], ids=["name", "class"])
@pytest.mark.parametrize("name", OTHER_KINDS)
def test_another_kind_of_model_is_refused(load, name, tmp_path):
    config, settings = OTHER_KINDS[name]
    getattr(transformers, name)(getattr(transformers, config)(**settings)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"a model of the type '|2 missing \(classifier\.bias, classifier\.weight\)"):
        load(tmp_path)


DAMAGES = {
    "a layer less": lambda f: change_weights(f, lambda w: {k: v for k, v in w.items() if "layer.1" not in k}),
    "no classifier": lambda f: change_weights(f, lambda w: {k: v for k, v in w.items() if "classifier" not in k}),
    "more layers than configured": lambda f: change_config(f, num_hidden_layers=1),
    "other positions": lambda f: change_config(f, image_size=64),
    "other classes": lambda f: change_config(f, id2label={"0": "a"}, label2id={"a": 0}),
    "truncated": lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:999]),
    "no file of weights": lambda f: (f / "model.safetensors").unlink(),
    "no pickle": lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_weights_that_do_not_fit_are_refused_in_one_line(folder, damage, caplog):
    damage(folder)
    with pytest.raises(InputError) as refused:
        load_model(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)
    assert "LOAD REPORT" not in caplog.text
    with pytest.raises(Exception):  # noqa: B017 # of transformers, by the kind of damage
        PMViTForImageClassification.from_pretrained(folder)


def test_a_new_classifier_is_asked_for_by_naming_its_classes(folder):
    DAMAGES["no classifier"](folder)
    given, info = PMViTForImageClassification.from_pretrained(folder, output_loading_info=True)  # not checked
    assert info["missing_keys"] == {"classifier.weight", "classifier.bias"}
    for settings in ({"num_labels": 2}, {"id2label": {0: "x", 1: "y"}}, {"config": PMViTConfig(**SMALL)}):
        model = PMViTForImageClassification.from_pretrained(folder, **settings)
        assert torch.equal(model.vit.layers[1].mlp.fc1.weight, given.vit.layers[1].mlp.fc1.weight)
    DAMAGES["a layer less"](folder)
    with pytest.raises(ValueError, match=r"16 missing \(vit\.layers\.1\."):
        PMViTForImageClassification.from_pretrained(folder, num_labels=2)


def test_features_can_be_used_without_a_classifier(folder):
    DAMAGES["no classifier"](folder)
    assert load_model(folder, uses_classifier=False).config.num_labels == 3
    DAMAGES["a layer less"](folder)
    with pytest.raises(InputError, match="16 missing"):
        load_model(folder, uses_classifier=False)


@pytest.mark.parametrize(
    ("labels", "order", "said"),
    [
        (["a", "b", "c"], [0, 1, 2], ""),
        (["c", "a", "b"], [2, 0, 1], ""),
        (["a", "b", "x"], [0, 1, 2], r"have other names (a, b) than those of the data (a, b)"),
        (["a", "b"], None, "has no classifier of 2 classes: a new one is trained"),
    ],
)
def test_training_says_what_the_classifier_starts_from(folder, labels, order, said, caplog):
    args = ModelArguments(model=str(folder), image_size=32)
    caplog.set_level(logging.WARNING, "modeling_pm_vit.conversion")
    model, _ = build_model(args, labels, 1.0)
    assert [model.config.id2label[i] for i in range(len(labels))] == labels
    messages = [record.getMessage() for record in caplog.records if "checkpoints" in record.name]
    assert said in "".join(messages) and len(messages) == bool(said)
    own = PMViTForImageClassification.from_pretrained(folder).classifier
    if order:
        assert torch.equal(model.classifier.weight, own.weight[order])
        assert torch.equal(model.classifier.bias, own.bias[order])
    else:
        assert not torch.isin(model.classifier.weight, own.weight).any()


def test_other_weights_are_not_replaced_with_the_classifier(folder):
    change_config(folder, image_size=64)
    with pytest.raises(InputError, match=r"of another shape .*position_embeddings"):
        build_model(ModelArguments(model=str(folder), image_size=64), ["x"], 1.0)


def test_a_stock_vit_loads_without_a_warning(folder, caplog):
    caplog.set_level(logging.WARNING, "transformers")
    transformers.utils.logging.enable_propagation()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = PMViTForImageClassification.from_pretrained(folder)
            config = PMViTConfig.from_pretrained(folder)
            AutoConfig.from_pretrained(folder)
    finally:
        transformers.utils.logging.disable_propagation()
    assert not caplog.records
    assert model.config.model_type == config.model_type == "pm_vit"


@pytest.mark.parametrize(
    ("kind", "mean", "resample"), [("vit", [0.5, 0.5, 0.5], 2), ("pm_vit", [0.485, 0.456, 0.406], 2)]
)
def test_without_a_processor_every_way_assumes_the_same_and_says_it(folder, kind, mean, resample, caplog):
    model = PMViTForImageClassification.from_pretrained(folder)
    if kind == "pm_vit":
        model.save_pretrained(folder)
    found = [load_processor(folder), PMViTImageProcessor.from_pretrained(folder)]
    found.append(build_model(ModelArguments(model=str(folder), image_size=32), ["a", "b", "c"], 1.0)[1])
    if kind == "vit":
        found.append(convert(folder).image_processor)
    for processor in found:
        assert list(processor.image_mean) == mean
        assert (processor.resample, processor.patch_size) == (resample, 8)
        assert (processor.size.height, processor.size.width) == (32, 32)
    said = [record.getMessage() for record in caplog.records if "preprocessor_config.json" in record.getMessage()]
    assert len(said) == len(found) and len(set(said)) == 1
    assert f"32 x 32 pixels, mean {mean}" in said[0] and str(folder) in said[0]


def test_explain_of_a_stock_vit_without_a_processor_is_that_of_its_conversion(folder):
    image = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0)).numpy()
    found = PMViTForImageClassification.from_pretrained(folder).explain(image, top_k=3)
    model, processor, *_ = convert(folder)
    expected = model.explain(image, top_k=3, image_processor=processor)
    torch.testing.assert_close(found["scores"], expected["scores"])
    torch.testing.assert_close(found["heatmaps"], expected["heatmaps"])


def test_a_broken_processor_is_not_replaced(folder):
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(InputError, match=r"image processor of .* cannot be read"):
        load_processor(folder)
    with pytest.raises(InputError, match=r"image processor of .* cannot be read"):
        convert(folder)
