"""Every explainer on the ViT classifiers of transformers, against computations that know each family by itself."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from modeling_pm_vit.explainers import explainers, pm_vit_map
from modeling_pm_vit.explainers.families import FAMILIES
from modeling_pm_vit.utils.errors import InputError

from .conftest import SETTINGS

QUICK = explainers(rise_masks=20, integration_steps=7)
LABELS = torch.tensor([0, 3, 1])
PATCHES = 16


@dataclass
class Case:
    """How a head reads the final tokens `t` of one image `(tokens, hidden)`, and which of them it reads (weights)."""

    name: str
    settings: dict
    prefix: int
    weights: list  # of the prefix tokens, then of all patches together
    patches: object  # from the model and the final tokens of one image to the logits of its patches
    last: str = "layers"  # the layers, below the backbone
    norm: str = "layernorm_before"
    backbone: str = ""

    def build(self):
        torch.manual_seed(0)
        model_class = getattr(transformers, f"{self.name}ForImageClassification", None) or getattr(
            transformers, self.name
        )
        model = model_class(model_class.config_class(**self.settings)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter += 0.3 * torch.randn_like(parameter)
        model.set_attn_implementation("eager")
        return model

    def vit(self, model):
        return getattr(model, self.backbone) if self.backbone else model.base_model


def composite(**settings):
    vision = {name: value for name, value in SETTINGS.items() if name != "num_labels"}
    return {"vision_config": vision | settings, "num_labels": SETTINGS["num_labels"]}


def dinov2_patches(prefix):
    def logits(model, t):
        rows = [torch.cat((t[0], patch)) for patch in t[prefix:]]
        return model.classifier(torch.stack(rows))

    return logits


def beit_patches(model, t):
    """The norm of the mean, and the difference of each patch from the mean, scaled as the mean is."""
    norm, mean = model.beit.pooler.layernorm, t[1:].mean(0)
    deviation = (mean.var(correction=0) + norm.eps).sqrt()
    return model.classifier(norm(mean) + norm.weight * (t[1:] - mean) / deviation)


BEIT = SETTINGS | {"use_relative_position_bias": True}
VISION = {"backbone": "vision_model", "last": "encoder.layers", "norm": "layer_norm1"}
DINOV2 = {"last": "encoder.layer", "norm": "norm1"}
CASES = [
    Case("ViT", SETTINGS, 1, [1, 0], lambda m, t: m.classifier(t[1:])),
    Case("ViTMSN", SETTINGS, 1, [1, 0], lambda m, t: m.classifier(t[1:])),
    Case("DeiT", SETTINGS, 2, [1, 0, 0], lambda m, t: m.classifier(t[2:])),
    Case(
        "DeiTForImageClassificationWithTeacher",
        SETTINGS,
        2,
        [0.5, 0.5, 0],
        lambda m, t: (m.cls_classifier(t[2:]) + m.distillation_classifier(t[2:])) / 2,
    ),
    Case("Dinov2", SETTINGS, 1, [0.5, 0.5], dinov2_patches(1), **DINOV2),
    Case(
        "Dinov2WithRegisters",
        SETTINGS | {"num_register_tokens": 3},
        4,
        [0.5, 0, 0, 0, 0.5],
        dinov2_patches(4),
        **DINOV2,
    ),
    Case("IJepa", SETTINGS, 0, [1], lambda m, t: m.classifier(t)),
    Case("Beit", BEIT, 1, [0, 1], beit_patches),
    Case("Beit", BEIT | {"use_mean_pooling": False}, 1, [1, 0], lambda m, t: m.classifier(t[1:])),
    Case("CLIP", composite(), 1, [0, 1], lambda m, t: m.classifier(t[1:]), **VISION),
    Case("MetaClip2", composite(), 1, [0, 1], lambda m, t: m.classifier(t[1:]), **VISION),
    Case("Siglip", composite(), 0, [1], lambda m, t: m.classifier(t), **VISION),
]
every_family = pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}{c.weights}")


def test_every_family_is_tested():
    tested = {case.build().config.model_type for case in CASES}
    assert {*FAMILIES} == tested | {"data2vec-vision"}  # `data2vec-vision` is below


@every_family
@pytest.mark.parametrize("size", ["images", "wide_images"])
def test_every_explainer_gives_a_map_of_the_patches_or_pixels(case, size, request):
    pixels = request.getfixturevalue(size)
    height, width = pixels.shape[-2:]
    model = case.build()
    model.set_attn_implementation("sdpa")
    QUICK["raw-attention"](model, pixels, LABELS)  # transformers keeps the hooks with which it records attention
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    for name, explainer in QUICK.items():
        maps = explainer(model, pixels, LABELS)
        assert maps.shape in ((3, height // 8, width // 8), (3, height, width)), name
        assert np.isfinite(maps).all(), name
        assert (np.ptp(maps, axis=(1, 2)) > 0).any(), name
        others = explainer(model, pixels, (LABELS + 1) % 4)
        assert np.allclose(maps, others) != explainer.depends_on_class, name
    assert case.vit(model).config._attn_implementation == "sdpa"
    assert sum(len(module._forward_hooks) for module in model.modules()) == hooks


@every_family
def test_attention_is_read_where_the_head_reads(case, images):
    model = case.build()
    maps = {name: QUICK[name](model, images, LABELS) for name in ("raw-attention", "rollout", "relevance")}
    tokens = case.prefix + PATCHES
    weights = np.array([*case.weights[:-1], *[case.weights[-1] / PATCHES] * PATCHES])
    assert len(weights) == tokens
    for image in range(3):
        outputs = model(images[image : image + 1], output_attentions=True)
        flow, relevance = np.eye(tokens), np.eye(tokens)
        for attention in outputs.attentions:
            (gradient,) = torch.autograd.grad(outputs.logits[0, LABELS[image]], attention, retain_graph=True)
            heads = attention[0].detach().double().numpy()
            flow = (heads.mean(0) + np.eye(tokens)) / 2 @ flow
            relevance = relevance + np.maximum(heads * gradient[0].numpy(), 0).mean(0) @ relevance
        expected = {"raw-attention": heads.mean(0), "rollout": flow, "relevance": relevance}
        for name, matrix in expected.items():
            read = (weights @ matrix)[case.prefix :]
            np.testing.assert_allclose(maps[name][image].ravel(), read, atol=1e-5 * read.max(), err_msg=name)


@every_family
@torch.no_grad()
def test_patch_logits_are_the_head_on_each_patch(case, images):
    model = case.build()
    maps = QUICK["patch-logits"](model, images, LABELS)
    final = case.vit(model)(images).last_hidden_state
    logits = model(images).logits
    for image, label in enumerate(LABELS):
        expected = case.patches(model, final[image])[:, label]
        np.testing.assert_allclose(maps[image].ravel(), expected, atol=1e-5)
        if case.weights[-1] > 0:  # a head on the mean
            assert maps[image].mean() == pytest.approx(logits[image, label].item(), abs=1e-4)
    np.testing.assert_allclose(pm_vit_map(model, images, LABELS), 1 / (1 + np.exp(-maps)), atol=1e-6)


@every_family
def test_grad_cam_leaves_out_the_prefix_tokens(case, images):
    model = case.build()
    found = QUICK["grad-cam"](model, images, LABELS)
    kept = []
    layer = case.vit(model).get_submodule(case.last)[-1]
    layer.get_submodule(case.norm).register_forward_hook(lambda module, inputs, output: kept.append(output))
    (gradient,) = torch.autograd.grad(model(images).logits[range(3), LABELS].sum(), kept)
    activation, gradient = (tensor[:, case.prefix :] for tensor in (kept[0], gradient))
    maps = (activation * gradient.mean(1, keepdim=True)).sum(-1).relu().detach()
    low, high = maps.aminmax(dim=1, keepdim=True)
    np.testing.assert_allclose(found.reshape(3, -1), (maps - low) / (1e-7 + high - low), atol=1e-4)


@every_family
def test_legrad_scores_the_mean_token_of_each_layer(case, images):
    model = case.build()
    found = QUICK["legrad"](model, images, LABELS)
    vit, outputs = case.vit(model), []
    for layer in vit.get_submodule(case.last):
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    attentions = model(images, output_attentions=True).attentions
    norm = getattr(vit, "layernorm", None) or (vit.post_layernorm if case.name == "Siglip" else nn.Identity())
    total = torch.zeros(3, PATCHES)
    for attention, tokens in zip(attentions, outputs, strict=True):
        pooled = norm(tokens.mean(1))
        # An image whose final tokens are all this one: then all that a head can read is this token.
        scores = [case.patches(model, pooled[i].expand(case.prefix + 1, -1))[0, LABELS[i]] for i in range(3)]
        (gradient,) = torch.autograd.grad(torch.stack(scores).sum(), attention, retain_graph=True)
        total += gradient.relu().mean((1, 2))[:, case.prefix :]
    low, high = total.aminmax(dim=1, keepdim=True)
    np.testing.assert_allclose(found.reshape(3, -1), (total - low) / (high - low), atol=1e-4)


def test_old_attention_has_to_be_loaded_as_eager(images):
    config = transformers.Data2VecVisionConfig(**SETTINGS)
    for implementation, works in (("eager", True), ("sdpa", False)):
        config._attn_implementation = implementation
        model = transformers.Data2VecVisionForImageClassification(config).eval()
        assert QUICK["patch-logits"](model, images, LABELS).shape == (3, 4, 4)
        for name in ("raw-attention", "rollout", "relevance", "legrad"):
            if works:
                assert QUICK[name](model, images, LABELS).shape == (3, 4, 4)
                continue
            with pytest.raises(InputError, match="only if loaded with attn_implementation='eager'"):
                QUICK[name](model, images, LABELS)


@pytest.mark.parametrize("name", QUICK)
def test_other_classifiers_are_refused_by_name_or_explained(name, images):
    resnet = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(hidden_sizes=[8, 8], depths=[1, 1], embedding_size=8, num_labels=4)
    ).eval()
    if name in ("integrated-gradients", "rise"):
        assert QUICK[name](resnet, images, LABELS).shape == (3, 32, 32)
        return
    with pytest.raises(InputError, match=r"ResNetForImageClassification is not .*only integrated-gradients and rise"):
        QUICK[name](resnet, images, LABELS)
    with pytest.raises(InputError, match="ViTModel has no classifier"):
        QUICK[name](transformers.ViTModel(transformers.ViTConfig(**SETTINGS)), images, LABELS)


@pytest.mark.parametrize("explainer", QUICK.values(), ids=QUICK)
def test_labels_as_lists_and_numbers(model, explainer, images):
    expected = explainer(model, images, LABELS)
    for labels in ([0, 3, 1], (0, 3, 1), np.array([0, 3, 1]), LABELS.to(torch.int32)):
        np.testing.assert_array_equal(explainer(model, images, labels), expected)
    np.testing.assert_allclose(explainer(model, images[1:2], 3), expected[1:2], atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(explainer(model, images, 2), explainer(model, images, [2, 2, 2]))
    for wrong in ([0, 1], [0, 1, 4], [0, 1, -1], [0.5, 1.0, 2.0], [[0, 1, 2]]):
        with pytest.raises(InputError, match="labels: "):
            explainer(model, images, wrong)
