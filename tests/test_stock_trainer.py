"""The `Trainer` of transformers itself: metrics, best-model loading, resuming, and other ways to load weights."""

import inspect

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, load_model
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import load_sharded_checkpoint
from transformers.utils.generic import find_labels

pytest.importorskip("accelerate")


def rows(masks: bool, count: int = 12) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    columns = {
        "pixel_values": torch.rand(count, 3, 32, 32, generator=generator).numpy(),
        "labels": np.arange(count) % 5,
        "source": [f"row {i}" for i in range(count)],  # no argument of the model
    }
    if masks:
        columns |= {"mask_labels": torch.rand(count, 1, 4, 4, generator=generator).numpy()}
        columns |= {"explain_labels": columns["labels"][:, None]}
    return Dataset.from_dict(columns).with_format("torch")


def only(*names: str):
    """A collator of these columns, as `remove_unused_columns=False` needs it."""
    return lambda examples: {name: torch.stack([e[name] for e in examples]) for name in names if name in examples[0]}


@pytest.fixture
def make_trainer(make_model, tmp_path):
    """Each evaluation gives a larger `number` than the one before, so the first checkpoint is the best."""

    def make(masks: bool = False, name: str = "run", seed: int = 0, **settings):
        seen = []

        def metrics(prediction):
            seen.append(prediction)
            hits = prediction.predictions.argmax(-1) == prediction.label_ids
            return {"accuracy": hits.mean().item(), "number": len(seen)}

        settings = {
            "num_train_epochs": 2,
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "metric_for_best_model": "number",
            "greater_is_better": False,
            "remove_unused_columns": True,
        } | settings
        args = TrainingArguments(
            tmp_path / name,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=5,
            learning_rate=1e-2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            **settings,
        )
        collate = None if args.remove_unused_columns else only("pixel_values", "labels", "mask_labels")
        model = make_model()
        torch.manual_seed(seed)
        if seed:  # other weights than those that the run began with
            for parameter in model.parameters():
                parameter.data.normal_()
        data = rows(masks)
        trainer = Trainer(
            model, args, train_dataset=data, eval_dataset=data, compute_metrics=metrics, data_collator=collate
        )
        return trainer, seen

    return make


def assert_equal_weights(model, expected: dict[str, torch.Tensor]) -> None:
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("remove_unused_columns", [True, False])
@pytest.mark.parametrize("masks", [False, True])
def test_evaluation_gives_loss_metrics_and_the_logits_alone(make_trainer, masks, remove_unused_columns):
    trainer, seen = make_trainer(masks, remove_unused_columns=remove_unused_columns)
    found = trainer.evaluate()
    (prediction,) = seen
    assert prediction.predictions.shape == (12, 5)
    assert prediction.label_ids.tolist() == [i % 5 for i in range(12)]

    data = rows(masks)
    inputs = {name: data[:][name] for name in ("pixel_values", "labels", "mask_labels") if name in data.column_names}
    with torch.no_grad():
        outputs = trainer.model.eval()(**inputs)
    assert (outputs.mask_loss is not None) == masks  # no column of masks got lost
    assert found["eval_loss"] == pytest.approx(outputs.loss.item(), rel=1e-4)
    assert found["eval_accuracy"] == pytest.approx(
        (outputs.logits.argmax(-1) == data[:]["labels"]).float().mean().item()
    )
    np.testing.assert_allclose(trainer.predict(data).predictions, outputs.logits, atol=1e-5)


@pytest.mark.parametrize("masks", [False, True])
def test_the_best_model_is_loaded_whole(make_trainer, masks):
    trainer, _ = make_trainer(masks, load_best_model_at_end=True)
    weights = []
    save = trainer._save_checkpoint
    trainer._save_checkpoint = lambda model, trial: (
        weights.append({name: value.clone() for name, value in model.state_dict().items()}),
        save(model, trial),
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-3")
    assert len(weights) == 2
    assert not torch.equal(*(w["vit.layers.0.attention.q_proj.weight"] for w in weights))
    assert_equal_weights(trainer.model, weights[0])


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(make_trainer):
    whole, _ = make_trainer(True)
    whole.train()
    resumed, _ = make_trainer(True, name="again", seed=1)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
    assert resumed.state.global_step == whole.state.global_step == 6
    assert_equal_weights(resumed.model, whole.model.state_dict())


def test_labels_are_one_column_and_all_arguments_stay_keywords(make_model):
    model = make_model()
    assert find_labels(type(model)) == ["labels"]
    arguments = inspect.signature(model.forward).parameters
    assert {"pixel_values", "labels", "mask_labels", "explain_labels", "num_items_in_batch", "kwargs"} <= set(arguments)
    pixels = torch.rand(1, 3, 32, 32)
    assert torch.equal(type(model).forward(model, pixels, explain_labels=2).logits, model.forward(pixels).logits)


# --- other ways to load weights into a model, under the names that `save_pretrained` writes ---


def state_dict(model, folder):
    return model.load_state_dict(load_file(folder / "model.safetensors"))


def state_dict_of_a_wrapper(model, folder):
    saved = load_file(folder / "model.safetensors")
    return torch.nn.ModuleDict({"inner": model}).load_state_dict({f"inner.{k}": v for k, v in saved.items()})


def state_dict_not_strict(model, folder):
    return model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)


def state_dict_assigned(model, folder):
    return model.load_state_dict(load_file(folder / "model.safetensors"), assign=True)


def safetensors(model, folder):
    missing, unexpected = load_model(model, folder / "model.safetensors")
    assert not missing
    assert not unexpected


def shards(model, folder):
    load_sharded_checkpoint(model, folder, strict=False)


@pytest.mark.parametrize(
    "load", [state_dict, state_dict_of_a_wrapper, state_dict_not_strict, state_dict_assigned, safetensors, shards]
)
def test_saved_weights_are_loaded_whole(make_model, tmp_path, load):
    saved, model = make_model(), make_model()
    saved.save_pretrained(tmp_path, max_shard_size="20KB" if load is shards else "1GB")
    for parameter in model.parameters():
        parameter.data.zero_()
    loaded = load(model, tmp_path)
    assert loaded is None or not (loaded.missing_keys or loaded.unexpected_keys)
    assert_equal_weights(model, saved.state_dict())


def test_shards_are_refused_where_all_names_have_to_be_equal(make_model, tmp_path):
    """`load_sharded_checkpoint` compares names itself before it asks the model."""
    make_model().save_pretrained(tmp_path, max_shard_size="20KB")
    with pytest.raises(RuntimeError, match="Missing key"):
        load_sharded_checkpoint(make_model(), tmp_path, strict=True)
