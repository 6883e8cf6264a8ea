"""A run whose loss or weights are not finite stops, says where, and leaves no such weights."""

import re
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback, TrainerState

from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.divergence import MAX_SKIPPED_STEPS, DivergedError, DivergenceCheck
from modeling_pm_vit.training.run import train
from tests.processes import in_processes

from .conftest import SETTINGS, as_flags


class Spoil(TrainerCallback):
    """Makes the classifier NaN before a step."""

    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, model, **kwargs):
        if state.global_step + 1 == self.step:
            model.classifier.weight.data.fill_(float("nan"))


@pytest.fixture
def flags_of(tmp_path):
    return lambda **settings: as_flags(SETTINGS | {"output_dir": tmp_path / "run", "max_steps": 9} | settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"logging_steps": 1},
        {"logging_steps": 4, "save_strategy": "steps", "save_steps": 2, "gradient_accumulation_steps": 2},
        {"logging_steps": 50, "eval_strategy": "epoch", "overlays": 2, "ema_decay": 0.9},
        {"logging_steps": 50, "max_steps": 5, "frozen_layers": 1, "feature_epochs": 1},
    ],
    ids=["log", "save", "evaluate", "end"],
)
def test_the_step_the_epoch_and_the_rows_are_named_wherever_the_loss_is_read(
    run, flags_of, tmp_path, monkeypatch, settings
):
    read = []
    get = ExampleDataset.__getitem__
    monkeypatch.setattr(ExampleDataset, "__getitem__", lambda self, sample: read.append(sample) or get(self, sample))
    batch = 4
    accumulated = settings.get("gradient_accumulation_steps", 1)
    with pytest.raises(DivergedError) as stopped:
        run(flags_of(per_device_train_batch_size=batch, **settings), callbacks=[Spoil(5)])
    steps = 24 // batch // accumulated
    assert f"step 5 of {settings.get('max_steps', 9)} (epoch {5 / steps:.2f}) is nan" in str(stopped.value)
    assert "is nan, in a batch of synthetic (train), row" in str(stopped.value)
    numbers = re.findall(r"synthetic \(train\), row (\d+)", str(stopped.value))
    epoch, place = divmod(4, steps)
    epoch = 0 if "feature_epochs" in settings else epoch
    samples = [sample for sample in read if sample.epoch == epoch][place * accumulated * batch :]
    assert [int(number) for number in numbers] == [sample.index for sample in samples[:batch]]
    saved = [load_file(file) for file in (tmp_path / "run").rglob("*.safetensors") if file.name == "model.safetensors"]
    assert len(saved) == ("save_steps" in settings)
    assert all(weight.isfinite().all() for weights in saved for weight in weights.values())
    assert not (tmp_path / "run" / "model.safetensors").exists()
    if "save_steps" in settings:
        assert f"The last complete checkpoint is {tmp_path / 'run' / 'checkpoint-4'}." in str(stopped.value)


@pytest.mark.slow
def test_a_last_step_that_ruins_the_model_leaves_none(flags_of, tmp_path, capsys):
    """The loss of the last step is finite, and so are the weights; only the evaluation shows what they are worth."""
    assert main(["train", *flags_of(max_steps=1, learning_rate=1e30, warmup_steps=0)]) == 1
    assert capsys.readouterr().err.endswith(
        "pm-vit train: the loss of the evaluation after step 1 of 1 (epoch 0.33) is NaN or infinite. "
        "No model was saved. Use a lower --learning_rate (this run: 1e+30) or a longer --warmup_steps.\n"
    )
    assert not (tmp_path / "run" / "model.safetensors").exists()


class SpoilOne(Spoil):
    """Only in the second process, whose gradients then spoil both."""

    def on_step_begin(self, args, state, control, model, **kwargs):
        if args.process_index == 1:
            super().on_step_begin(args, state, control, model, **kwargs)


def train_and_note(flags: list[str], note: str) -> None:
    try:
        train(*parse_arguments(flags), [SpoilOne(2)])
    except DivergedError as error:
        with open(note, "a") as file:
            file.write(f"{error}\n")


@pytest.mark.slow
def test_two_processes_stop_together_with_the_same_message(flags_of, tmp_path):
    note = tmp_path / "errors.txt"
    assert in_processes(2, train_and_note, flags_of(logging_steps=4), str(note)) == [0, 0]
    first, second = note.read_text().splitlines()
    assert (
        first == second and "the loss of step 2 of 9 (epoch 1.00) is nan, in a batch of synthetic (train), row" in first
    )


def fp16_run(skipped: list[bool]) -> None:
    """The steps of a run in fp16, some of them skipped because of an overflow."""
    model, losses = torch.nn.Linear(1, 1), torch.tensor([[float("nan"), 0.0]])
    accelerator = SimpleNamespace(
        scaler=object(), device="cpu", reduce=lambda x, _: x, optimizer_step_was_skipped=False
    )
    meter = SimpleNamespace(losses=lambda: ([1], losses))
    args = SimpleNamespace(output_dir="nowhere", learning_rate=0.1)
    trainer = SimpleNamespace(accelerator=accelerator, meter=meter, model=model, average=None, args=args, epoch_steps=9)
    check, control = DivergenceCheck(trainer), SimpleNamespace(should_log=True, should_evaluate=True, should_save=True)
    for step, skips in enumerate(skipped, 1):
        accelerator.optimizer_step_was_skipped = skips
        check.on_step_end(args, TrainerState(global_step=step), control)
    check.on_train_end(args, TrainerState(global_step=len(skipped)), control)


def test_steps_that_fp16_skips_are_normal_until_nothing_else_happens():
    fp16_run([True] * (MAX_SKIPPED_STEPS - 1) + [False] + [True] * (MAX_SKIPPED_STEPS - 1))
    for skipped in ([False] + [True] * MAX_SKIPPED_STEPS, [True] * 3):
        with pytest.raises(DivergedError, match=rf"up to step {len(skipped)}, overflowed in fp16.*--bf16"):
            fp16_run(skipped)


def test_a_run_without_a_step_is_refused():
    with pytest.raises(ValueError, match="--num_train_epochs must be above 0, got 0"):
        parse_arguments(["--num_train_epochs", "0", "--use_cpu", "true"])
