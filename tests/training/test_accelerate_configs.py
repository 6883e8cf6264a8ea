"""The launch settings of `configs/accelerate/`."""

import json
import os
import runpy
import signal
import sys

import pytest
import torch
import torch.distributed.run
from accelerate import PartialState
from accelerate.commands.launch import _validate_launch_command, launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification, TrainerCallback

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from tests.processes import in_processes

from .conftest import SETTINGS, as_flags

RUN = SETTINGS | {"max_steps": 4, "max_train_samples": 40, "save_strategy": "steps", "save_steps": 2}


def run_script(path: str, *words: str) -> None:
    sys.argv = [path, *words]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code


def launch(words: list[str], printed: str) -> None:
    """`accelerate launch WORDS`, whose processes are forked: a Python of its own imports for 6 seconds."""
    descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    torch.distributed.run.run_script_path = run_script  # of torchrun; it would wait for ever for a script that exits
    args = launch_command_parser().parse_args(words)
    args.run_path, args.start_method = True, "fork"
    launch_command(args)


@pytest.mark.slow
def test_two_processes_on_a_cpu_make_half_the_steps(tmp_path, request):
    root = request.config.rootpath
    words = f"--config_file {root}/configs/accelerate/cpu2.yaml {root}/scripts/train.py {root}/configs/demo.yaml"
    words += " --max_train_samples 64 --max_eval_samples 21 --num_train_epochs 1 --hidden_size 32 --num_hidden_layers 1"
    words += f" --use_cpu true --output_dir {tmp_path} --dataloader_num_workers 0 --dataloader_persistent_workers false"
    printed = tmp_path / "printed"
    assert in_processes(1, launch, words.split(), str(printed)) == [0], printed.read_text()[-3000:]
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["global_step"] == 1  # 64 images, 32 a process
    assert printed.read_text().count("| accuracy ") == 1  # the table, by one of them


@pytest.fixture
def launched(request):
    """What `accelerate launch` makes of a config file: its settings for torchrun, and the processes' environment."""

    def launch(name: str, *flags: str):
        config = request.config.rootpath / "configs" / "accelerate" / f"{name}.yaml"
        args = launch_command_parser().parse_args(["--config_file", str(config), *flags, "scripts/train.py"])
        args, *_ = _validate_launch_command(args)
        return args, prepare_multi_gpu_env(args)

    return launch


def test_the_config_of_a_node_starts_eight_processes(launched):
    args, environment = launched("node")
    assert (args.nproc_per_node, environment["ACCELERATE_MIXED_PRECISION"]) == ("8", "bf16")
    assert environment.get("ACCELERATE_USE_FSDP", "false") == "false"


def test_the_config_of_four_nodes_starts_eight_processes_on_each(launched):
    args, environment = launched("nodes", "--machine_rank", "2", "--main_process_ip", "10.0.0.1")
    assert (args.nnodes, args.nproc_per_node, args.node_rank) == ("4", "8", 2)
    assert args.rdzv_endpoint == "10.0.0.1:29500"
    assert environment["ACCELERATE_MIXED_PRECISION"] == "bf16"


class KillAt(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train_sharded(environment: dict[str, str], flags: list[str], killed_at: int | None = None):
    """With FSDP2 on CPUs, which Accelerate leaves out: it is told that they are GPUs."""
    os.environ |= environment
    arguments = parse_arguments(flags)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    sharded = {}

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, model, **kwargs):
            sharded.update({name: type(weight).__name__ for name, weight in model.named_parameters()})

    train(*arguments, [Look(), *([] if killed_at is None else [KillAt(killed_at)])])
    assert set(sharded.values()) == {"DTensor"}


@pytest.mark.slow
def test_a_run_sharded_over_two_processes_has_the_same_weights_and_resumes_after_kill_9(launched, run, tmp_path):
    flags = {name: as_flags(RUN | {"output_dir": tmp_path / name}) for name in ("plain", "sharded")}
    _, environment = launched("fsdp2", "--num_processes", "2", "--mixed_precision", "no")
    half = [*flags["sharded"], "--per_device_train_batch_size", "4"]
    assert in_processes(2, train_sharded, environment, half, 3) == [-signal.SIGKILL] * 2
    assert in_processes(2, train_sharded, environment, [*half, "--resume_from_checkpoint"]) == [0, 0]
    run(flags["plain"])
    plain, sharded = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "sharded"))
    assert plain.keys() == sharded.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(sharded[name], weight, rtol=0, atol=1e-5)
    names = {path.name for path in (tmp_path / "sharded").glob("*.py")}
    assert names == {path.name for path in (tmp_path / "plain").glob("*.py")}
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path / "sharded", trust_remote_code=True)
    assert loaded.config.auto_map["AutoModelForImageClassification"].startswith("modeling_pm_vit.PMViT")
