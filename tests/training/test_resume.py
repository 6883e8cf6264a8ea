"""A run that is killed and gone on with ends as one that was not."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist
import transformers.trainer
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file
from transformers import TrainerCallback

from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.checkpoints import is_complete, last_complete, mark_complete, mark_incomplete
from modeling_pm_vit.training.run import train
from modeling_pm_vit.training.trainer import PMViTTrainer
from modeling_pm_vit.utils.errors import InputError, NotFoundError
from tests.processes import in_processes

from .conftest import SETTINGS, as_flags, write_sure_model

pytestmark = pytest.mark.slow  # whole runs

# Everything that is drawn: classes, crops and colours, mosaics, mixing, a second source, two epochs and a bit.
RUN = SETTINGS | {
    **{"max_train_samples": 40, "max_steps": 8, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 2},
    **{"mosaics": 0.5, "mixup": 0.4, "cutmix": 1.0, "rand_augment": 9, "mask_data": "synthetic", "mask_rate": 0.3},
    **{"gradient_accumulation_steps": 2, "per_device_train_batch_size": 7, "ema_decay": 0.9, "layer_decay": 0.8},
    **{"balanced_sampling": True, "class_weights": "leaf=2"},
}
STREAM = {"streaming": True, "balanced_sampling": False, "max_train_samples": 60}


class StopError(Exception):
    """What a test raises where a kill would strike."""


class StopAt(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise StopError


class KillAt(StopAt):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", params=["cpu", "device"])
def settings(request, tmp_path_factory):
    """Augmented image by image; and in batches on the device of the model, where the averaged weights teach."""
    if request.param == "cpu":
        return RUN | {"augment_on": "cpu"}
    folder = tmp_path_factory.mktemp("sure")
    write_sure_model(folder)
    return RUN | {"augment_on": "device", "model": folder, "weak_supervision": "self_training"}


@pytest.fixture(scope="module")
def uninterrupted(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(*parse_arguments(as_flags(settings | {"output_dir": folder})))
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("step", [4, 5])  # an epoch has 5 steps; 5 is between two
def test_a_resumed_run_ends_with_the_same_weights_bitwise(run, settings, uninterrupted, tmp_path, step):
    flags = as_flags(settings | {"output_dir": tmp_path})
    with pytest.raises(StopError):
        run(flags, callbacks=[StopAt(step)])
    run(flags, "--resume_from_checkpoint")
    assert (tmp_path / "model.safetensors").read_bytes() == uninterrupted


def write_shards(folder):
    for split, size in (("train", 60), ("validation", 8)):
        rows = synthetic_dataset(split, size, image_size=32, mask_fraction=0.5)
        for shard in range(2):
            rows.shard(2, shard).to_parquet(str(folder / f"{split}-{shard}.parquet"), batch_size=8)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 6])  # inside the first epoch and inside the second
def test_a_run_on_streamed_parquet_files_resumes_exactly(run, tmp_path, step):
    write_shards(tmp_path)
    streamed = RUN | STREAM | {"data": tmp_path, "save_steps": 2}
    run(as_flags(streamed | {"output_dir": tmp_path / "whole"}))
    flags = as_flags(streamed | {"output_dir": tmp_path / "stopped"})
    with pytest.raises(StopError):
        run(flags, callbacks=[StopAt(step)])
    run(flags, "--resume_from_checkpoint")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


def train_until_the_checkpoint_of_step_6(flags: list[str]) -> None:
    """Killed when its weights and the optimizer are written, but not all else."""

    def save_rng_state(self, folder):
        if self.state.global_step == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        save(self, folder)

    save, PMViTTrainer._save_rng_state = PMViTTrainer._save_rng_state, save_rng_state
    train(*parse_arguments(flags))


@pytest.mark.slow
def test_a_run_killed_while_a_checkpoint_is_written_resumes_from_the_one_before(run, settings, uninterrupted, tmp_path):
    """With workers."""
    flags = as_flags(settings | {"output_dir": tmp_path / "run", "dataloader_num_workers": 1})
    assert in_processes(1, train_until_the_checkpoint_of_step_6, flags) == [-signal.SIGKILL]
    assert (tmp_path / "run" / "checkpoint-6" / "optimizer.pt").exists()
    assert last_complete(tmp_path / "run").name == "checkpoint-5"
    run(flags, "--resume_from_checkpoint")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == uninterrupted


def train_two(flags: list[str], killed_at: int | None = None):
    """Of two processes one; ended by kill -9 after a step, if one is named."""
    train(*parse_arguments(flags), [] if killed_at is None else [KillAt(killed_at)])
    assert dist.get_world_size() == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "killed_at", "goes_on_from"),
    [
        ({"weak_supervision": "self_training"}, 3, 2),
        (
            STREAM | {"save_steps": 5, "dataloader_num_workers": 1},
            7,
            5,
        ),  # 6 steps an epoch
    ],
    ids=["disk", "stream"],
)
def test_two_killed_processes_resume_exactly(tmp_path, changes, killed_at, goes_on_from):
    settings = RUN | {"per_device_train_batch_size": 4} | changes
    if "streaming" in changes:
        write_shards(tmp_path)
        settings["data"] = tmp_path
    else:
        write_sure_model(tmp_path / "sure")
        settings["model"] = tmp_path / "sure"
    whole, killed = (as_flags(settings | {"output_dir": tmp_path / name}) for name in ("whole", "killed"))
    assert in_processes(2, train_two, whole) == [0, 0]
    assert in_processes(2, train_two, killed, killed_at) == [-signal.SIGKILL] * 2
    assert last_complete(tmp_path / "killed").name == f"checkpoint-{goes_on_from}"
    assert in_processes(2, train_two, [*killed, "--resume_from_checkpoint"]) == [0, 0]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_a_run_restarts_without_a_complete_checkpoint_and_says_so(run, flags, tmp_path, capsys):
    broken = tmp_path / "run" / "checkpoint-2"
    broken.mkdir(parents=True)
    (broken / "model.safetensors").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="--resume_from_checkpoint"):
        run(flags)
    run(flags, "--resume_from_checkpoint")
    assert f"there is no complete checkpoint in {tmp_path / 'run'}: training starts" in capsys.readouterr().out
    assert load_file(tmp_path / "run" / "model.safetensors")


def test_a_checkpoint_that_cannot_be_resumed_from_is_named(run, flags, tmp_path):
    run(flags, "--save_strategy", "steps", "--save_steps", 2, "--save_only_model", "--save_total_limit", 5)
    with pytest.raises(NotFoundError, match=r"there is no folder nowhere\."):
        run(flags, "--resume_from_checkpoint", "nowhere")
    with pytest.raises(InputError, match=r"checkpoint-2 has weights only \(--save_only_model\): continue with --model"):
        run(flags, "--resume_from_checkpoint", tmp_path / "run" / "checkpoint-2")
    mark_incomplete(tmp_path / "run" / "checkpoint-2")
    with pytest.raises(InputError, match="checkpoint-2 is no complete checkpoint"):
        run(flags, "--resume_from_checkpoint", tmp_path / "run" / "checkpoint-2")


def test_an_interrupted_run_names_its_last_checkpoint_and_resumes(flags, tmp_path, capsys, monkeypatch):
    flags = [*flags, "--max_steps", "5", "--save_strategy", "steps", "--save_steps", "2"]
    log, steps = PMViTTrainer.log, []

    def interrupted(self, logs, *args):
        steps.append(self.state.global_step)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        log(self, logs, *args)

    monkeypatch.setattr(PMViTTrainer, "log", interrupted)
    assert main(["train", *flags]) == 130
    assert capsys.readouterr().err.endswith(
        f"\npm-vit train: interrupted. The last complete checkpoint is {tmp_path / 'run' / 'checkpoint-2'}: rerun the "
        "same command with --resume_from_checkpoint.\n"
    )
    assert main(["train", *flags, "--resume-from-checkpoint"]) == 0
    assert f"training resumes from {tmp_path / 'run' / 'checkpoint-2'}\n" in capsys.readouterr().out
    assert steps[3] == 3


def test_no_folder_has_a_pickle_of_the_arguments_and_none_is_uploaded(run, flags, tmp_path, monkeypatch):
    """Nor cached features."""
    uploaded = []

    class Api:
        def create_repo(self, name, **kwargs):
            return SimpleNamespace(repo_id=f"user/{name}")

        def upload_folder(self, folder_path, ignore_patterns, **kwargs):
            files = [str(file.relative_to(folder_path)) for file in Path(folder_path).rglob("*") if file.is_file()]
            uploaded.append(list(filter_repo_objects(files, ignore_patterns=ignore_patterns)))

    monkeypatch.setattr(transformers.trainer, "hf_api", Api)
    settings = ["--save_strategy", "steps", "--save_steps", "2", "--frozen_layers", "1", "--feature_epochs", "1"]
    run(flags, *settings, "--push_to_hub")
    assert not list((tmp_path / "run").rglob("training_args.bin"))
    assert (tmp_path / "run" / "checkpoint-3" / "training_args.json").is_file()
    (files,) = uploaded
    assert {"model.safetensors", "config.json", "training_args.json"} <= set(files)
    assert not [file for file in files if file.endswith((".bin", ".pt", ".pth")) or "features" in file]


def test_a_checkpoint_is_complete_if_all_its_files_are(tmp_path):
    for step in (9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(os.urandom(10))
        mark_complete(folder)
        assert is_complete(folder)
    assert last_complete(tmp_path).name == "checkpoint-10"
    (tmp_path / "checkpoint-10" / "weights").write_bytes(b"short")
    assert last_complete(tmp_path).name == "checkpoint-9"
    mark_incomplete(tmp_path / "checkpoint-9")
    assert last_complete(tmp_path) is None
    assert last_complete(tmp_path / "nowhere") is None
