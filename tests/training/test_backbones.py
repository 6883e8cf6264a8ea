"""Every family of backbones in training: frozen and cached layers, layer decay, checkpointing, adapters; whole runs."""

import json

import pytest
import torch

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.training.cached_features import FrozenLayers
from modeling_pm_vit.training.lora import add_adapters
from modeling_pm_vit.training.optimization import depths, freeze_layers, parameter_groups
from tests.backbones import every_family, make_family


@every_family
@pytest.mark.parametrize("count", [1, 3])
def test_frozen_and_trainable_part_together_equal_the_whole_model(family, count):
    model, labels = make_family(family), torch.tensor([0, 3, 1])
    pixel_values = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    frozen = FrozenLayers(model, count)
    with torch.no_grad():
        expected = model(pixel_values, labels=labels)
        tokens = frozen.tokens(pixel_values)
        found = frozen.finish(tokens, (4, 6), labels=labels)
    assert tokens.shape[1] == model.num_prefix_tokens + 24
    for name in ("logits", "mask_logits", "loss"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=5e-3)
    assert frozen.fingerprint({}) == FrozenLayers(make_family(family), count).fingerprint({})


@every_family
def test_layers_are_frozen_and_decayed_in_their_order(family):
    model = make_family(family)
    modules = {module: name for name, module in model.named_modules()}
    for name, depth in depths(model).items():
        own = [i for i, layer in enumerate(model.layers) if name.startswith(f"{modules[layer]}.")]
        norms = [modules[norm] for norm in (model.final_norm, model.mean_norm) if norm in modules]
        is_head = name.startswith(("classifier.", *(f"{norm}." for norm in norms)))
        assert depth == (own[0] + 1 if own else 4 if is_head else 0)
    rates = {group["lr"] for group in parameter_groups(model, 1.0, 0.5, 0.0, ())}
    assert rates == {1.0, 0.5, 0.25, 0.125, 0.0625}
    freeze_layers(model, 2)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, depth in depths(model).items() if depth > 2}


@every_family
def test_gradient_checkpointing_gives_equal_gradients(family):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    gradients = []
    for checkpointing in (False, True):
        model = make_family(family).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        torch.manual_seed(1)
        calls = []
        model.layers[1].get_submodule(model.family.first_norm).register_forward_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        model(images, labels=torch.tensor([0, 1]), mask_labels=torch.full((2, 1, 4, 4), 0.5)).loss.backward()
        assert len(calls) == 1 + checkpointing
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)


@every_family
def test_adapters_are_beside_the_projections_of_the_layers_that_are_not_frozen(family, tmp_path):
    pytest.importorskip("peft")
    model = make_family(family)
    adapted = add_adapters(model, rank=2, frozen_layers=1)
    with_adapters = {name for name, _ in adapted.named_parameters() if "lora_A" in name}
    layers = {name.partition(f"{model.family.layers}.")[2].partition(".")[0] for name in with_adapters}
    assert layers == {"1", "2"} and len(with_adapters) == 4 - 2 * any("qkv" in name for name in with_adapters)
    found = depths(adapted)
    assert {found[name] for name in with_adapters} == {2, 3}


# What a run does beside the above does not depend on the family: the loss and the teacher get maps. So one family with
# prefix tokens and rotary positions, one without a class token, and one of timm stand for all.
@pytest.mark.slow
@pytest.mark.parametrize(
    "family, more",
    [
        ("dinov3_vit", ["--weak_supervision", "self_training", "--teacher_start", "0", "--ema_decay", "0.5"]),
        ("siglip_vision_model", ["--frozen_layers", "1", "--feature_epochs", "1", "--mosaics", "0.5"]),
        ("timm_wrapper, mean", ["--gradient_checkpointing", "true"]),
    ],
)
def test_a_run_is_trained_evaluated_and_explained_by_the_commands(family, more, flags, tmp_path, capsys, request):
    start, trained = tmp_path / "start", tmp_path / "run"
    make_family(family, id2label=dict(enumerate(CLASSES))).save_pretrained(start)
    PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8, resample=3).save_pretrained(start)
    assert main(["train", *flags, "--model", str(start), *more]) == 0
    before, after = (PMViTForImageClassification.from_pretrained(folder) for folder in (start, trained))
    assert after.config.pooling == before.config.pooling and after.family == before.family
    changed = {name for name, p in after.named_parameters() if not torch.equal(p, before.get_parameter(name))}
    assert any(name.startswith("classifier.") for name in changed)
    assert any(f"{after.family.layers}.2." in name for name in changed)

    asked = ["evaluate", "--model", str(trained), "--max_samples", "4", "--metrics", "pointing", "--device", "cpu"]
    explainers = ["pm-vit", "grad-cam", "relevance"]
    of_timm = family.startswith("timm")
    evaluated = main([*asked, "--output_dir", str(tmp_path / "named"), "--explainers", *explainers])
    assert evaluated == (2 if of_timm else 0)
    if of_timm:
        assert "a timm backbone gives no attentions" in capsys.readouterr().err
        explainers = ["pm-vit", "grad-cam"]
        assert main([*asked, "--output_dir", str(tmp_path / "named"), "--explainers", *explainers]) == 0
    results = json.loads((tmp_path / "named" / "results.json").read_text())["results"]
    assert {*explainers} <= results["pointing"].keys()

    picture = str(request.config.rootpath / "examples" / "scene.png")
    assert main(["explain", str(trained), picture, "--output_dir", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert list((tmp_path / "out").iterdir())
