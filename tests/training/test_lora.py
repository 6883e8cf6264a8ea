"""Adapters: trained, resumed, averaged and saved by the trainer, alone or as a user's own `PeftModel`."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification, TrainerCallback

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.conversion.checkpoints import load_model
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.build_data import build_eval_set, build_train_set, open_train_sources
from modeling_pm_vit.training.trainer import PMViTTrainer
from modeling_pm_vit.utils.errors import InputError, MissingExtraError

from .conftest import SETTINGS, as_flags

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.slow  # whole runs

RUN = SETTINGS | {"lora_rank": 2, "learning_rate": 0.05, "max_steps": 4, "save_strategy": "steps", "save_steps": 1}


@pytest.fixture
def start(tmp_path, make_model, make_processor) -> str:
    """A model of other classes than those of the data."""
    folder = tmp_path / "start"
    make_model(num_hidden_layers=3).save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def flags_of(start, tmp_path):
    def make(name: str = "run", **settings) -> list[str]:
        return as_flags(RUN | {"model": start, "output_dir": tmp_path / name} | settings)

    return make


def outputs(model, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        found = model.eval()(pixel_values, explain_labels=3)
    return found.logits, found.mask_logits


def test_only_an_adapter_and_the_classifier_are_saved_and_every_way_to_load_them_gives_the_same_maps(
    run, flags_of, start, tmp_path
):
    run(flags_of())
    saved = load_file(tmp_path / "run" / "adapter_model.safetensors")
    kinds = {name.split(".")[-2] for name in saved}
    assert kinds == {"lora_A", "lora_B", "classifier"} and len(saved) == 3 * 2 * 2 + 2  # layers, q and v, A and B
    assert not (tmp_path / "run" / "model.safetensors").exists()
    settings = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == start and settings["lora_dropout"] == 0
    merged = load_model(tmp_path / "run")
    assert type(merged) is PMViTForImageClassification and merged.config.id2label[1] == "cross"
    assert not any("lora" in name for name in merged.state_dict())
    base = load_model(start, labels=list(merged.config.id2label.values()))
    pixel_values = torch.randn(2, 3, 32, 32)
    expected, before = outputs(merged, pixel_values), outputs(base, pixel_values)
    assert (before[0] - expected[0]).abs().max() > 0.1
    with_peft = peft.PeftModel.from_pretrained(base, tmp_path / "run")
    with_auto = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    for model in (with_peft, with_auto, load_model(tmp_path / "run" / "checkpoint-4")):
        torch.testing.assert_close(outputs(model, pixel_values), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"ema_decay": 0.5, "layer_decay": 0.7}, {"frozen_layers": 1, "feature_epochs": 1, "max_steps": 6}],
    ids=["averaged", "cached features"],
)
def test_a_resumed_run_ends_with_the_same_adapter_bitwise(run, flags_of, tmp_path, settings):
    run(flags_of("whole", save_total_limit=9, **settings))
    checkpoint = tmp_path / "whole" / "checkpoint-2"
    run(flags_of("resumed", resume_from_checkpoint=checkpoint, **settings))
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert weights[0] == weights[1]
    if "frozen_layers" in settings:
        assert not [name for name in load_file(tmp_path / "whole" / "adapter_model.safetensors") if "layers.0" in name]


class Worse(TrainerCallback):
    """Spoils the classifier after the second step, so that the checkpoint of that step is the best."""

    def on_step_begin(self, args, state, control, model, **kwargs):
        if state.global_step == 2:
            for name, weight in model.named_parameters():
                if weight.requires_grad and "classifier" in name:
                    weight.data += 100 * torch.randn_like(weight)


@pytest.mark.parametrize("decay", [0, 0.5])
def test_the_best_adapter_is_loaded_at_the_end(run, flags_of, tmp_path, decay):
    settings = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1, "save_total_limit": 9}
    metrics = run(flags_of(ema_decay=decay, **settings), callbacks=[Worse()])
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    best = state["best_model_checkpoint"]
    assert best.endswith(("checkpoint-1", "checkpoint-2"))
    assert metrics["eval_loss"] == pytest.approx(state["best_metric"], abs=1e-5)
    if not decay:
        final, kept = (load_file(f"{folder}/adapter_model.safetensors") for folder in (tmp_path / "run", best))
        assert all(torch.equal(weight, kept[name]) for name, weight in final.items())


def test_the_trainer_resumes_and_loads_the_best_of_a_users_own_adapters(start, make_processor, tmp_path):
    """Those of all linear layers, the classifier among them."""

    def train(output: str, *flags: str) -> dict:
        settings = RUN | {"output_dir": tmp_path / output, "load_best_model_at_end": True, "eval_strategy": "steps"}
        words = as_flags({name: value for name, value in settings.items() if name != "lora_rank"} | {"eval_steps": 1})
        _, data, args = parse_arguments([*words, "--save_total_limit", "9"])
        sources, processor = open_train_sources(data), make_processor()
        names = sources[0].features["label"].names
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        model = peft.get_peft_model(load_model(start, labels=names), config)
        train_set = build_train_set(sources, processor, data, 0)
        eval_set = build_eval_set(names, processor, data, 0)
        trainer = PMViTTrainer(
            model=model, args=args, train_dataset=train_set, eval_dataset=eval_set, processing_class=processor
        )
        trainer.train(*flags)
        return {name: weight.clone() for name, weight in model.state_dict().items() if "lora" in name}

    whole = train("whole")
    resumed = train("resumed", str(tmp_path / "whole" / "checkpoint-2"))
    assert all(torch.equal(weight, whole[name]) for name, weight in resumed.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "--lora_rank trains adapters of a model that has learned already: name it with --model"),
        ({"frozen_layers": 3}, r"--lora_rank: --frozen_layers must lie in 0 \.\.\. 2, got 3"),
        ({"push_to_hub": True}, "--push_to_hub would upload an adapter: `pm-vit publish`"),
    ],
)
def test_what_cannot_be_combined_is_told(run, flags_of, changes, message):
    flags = flags_of(**changes)
    if changes.get("model", "") is None:
        flags = [word for pair in zip(flags[::2], flags[1::2], strict=True) if pair[0] != "--model" for word in pair]
    with pytest.raises(InputError, match=message):
        run(flags)


def test_a_run_is_continued_with_adapters_only_if_it_had_them(run, flags_of, tmp_path):
    run(flags_of())
    with pytest.raises(InputError, match="checkpoint-4: continue with the same --lora_rank as before"):
        run(flags_of(lora_rank=0, resume_from_checkpoint=tmp_path / "run" / "checkpoint-4", max_steps=5))


def test_without_peft_the_extra_is_named(run, flags_of, tmp_path, monkeypatch, request, capsys):
    run(flags_of())
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"--lora_rank needs peft: pip install 'pm-vit\[peft\]'"):
        run(flags_of("other"))
    image = request.config.rootpath / "examples" / "scene.png"
    assert main(["explain", str(tmp_path / "run"), str(image)]) == 2
    assert "run needs peft: pip install 'pm-vit[peft]'" in capsys.readouterr().err


def test_an_adapter_is_explained_and_trained_further(run, flags_of, tmp_path, request, monkeypatch):
    run(flags_of())
    monkeypatch.chdir(tmp_path)
    adapter, image = str(tmp_path / "run"), str(request.config.rootpath / "examples" / "scene.png")
    expected = load_model(adapter)
    expected.save_pretrained("merged")
    shutil.copy(tmp_path / "run" / "preprocessor_config.json", "merged")
    found = []
    for model in (adapter, "merged"):
        assert main(["explain", model, image, "--format", "json", "--output_dir", "out", "--top_k", "3"]) == 0
        found.append(json.loads((tmp_path / "out" / "explanations.json").read_text())["images"][0]["classes"])
    assert [c["label"] for c in found[0]] == [c["label"] for c in found[1]]
    assert [c["score"] for c in found[0]] == pytest.approx([c["score"] for c in found[1]], abs=1e-4)
    run(flags_of("twice", model=adapter, max_steps=1))  # an adapter of an adapter
    weights = [model.vit.layers[0].attention for model in (load_model(tmp_path / "twice"), expected)]
    assert torch.equal(weights[0].k_proj.weight, weights[1].k_proj.weight)
    torch.testing.assert_close(weights[0].q_proj.weight, weights[1].q_proj.weight, rtol=0, atol=0.06)


def test_an_adapter_of_another_program_is_loaded(start, make_processor, tmp_path):
    """Without a configuration, a processor and a classifier of its own."""
    model = load_model(start)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    pixel_values = torch.randn(2, 3, 32, 32)
    expected = outputs(adapted, pixel_values)
    torch.testing.assert_close(outputs(load_model(tmp_path / "adapter"), pixel_values), expected, rtol=0, atol=1e-5)
    shutil.rmtree(start)
    with pytest.raises(FileNotFoundError, match=r"the base model of the adapter .*adapter: there is no model folder"):
        load_model(tmp_path / "adapter")
