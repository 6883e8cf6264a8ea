"""One step's loss and gradients, and an evaluation, however the same images are split."""

import json

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from tests.processes import in_processes

from .conftest import SETTINGS, as_flags, write_several_labels, write_sure_model

# Masks on two of 16 images: most micro-batches have none.
STEP = SETTINGS | {
    **{"max_train_samples": 16, "mask_fraction": 0.125, "max_eval_samples": 11, "max_steps": 1, "logging_steps": 1},
    **{"learning_rate": 0.1, "warmup_steps": 0, "optim": "sgd", "weight_decay": 0, "max_grad_norm": 0, "seed": 1},
    **{"per_device_eval_batch_size": 4},
}
SPLITS = {
    "whole": {"per_device_train_batch_size": 16},
    "accumulated": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4},
    "two processes": {"per_device_train_batch_size": 8},
    "two processes, accumulated": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
}
LOSSES = {
    "one label": {},
    "smoothed": {"label_smoothing_factor": 0.1},
    "labels of images without a mask": {"weak_supervision": "labels", "mosaics": 0},
    "self-training": {"weak_supervision": "self_training", "mosaics": 0, "teacher_start": 0, "model": "sure"},
    "weighted, sampled": {"class_weights": "leaf=3", "balanced_sampling": True},
    "several labels": {
        **{"data": "several", "mask_fraction": 0.5, "label_smoothing_factor": 0.1, "class_weights": "balanced"}
    },
}


def results(folder) -> tuple[dict, dict, dict]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    step = next(entry for entry in history if "loss" in entry)
    return load_file(folder / "model.safetensors"), step, json.loads((folder / "eval_results.json").read_text())


def train_in_turn(runs: list[list[str]]):
    for flags in runs:
        train(*parse_arguments(flags))
        assert dist.get_world_size() == 2


@pytest.fixture(scope="module")
def flags_of(tmp_path_factory):
    """The flags of a run."""
    paths = {"data": tmp_path_factory.mktemp("several"), "model": tmp_path_factory.mktemp("sure")}
    write_several_labels(paths["data"])
    write_sure_model(paths["model"])

    def make(split: str, loss: str, output) -> list[str]:
        settings = STEP | SPLITS[split] | LOSSES[loss] | {"output_dir": output}
        return as_flags(settings | {name: path for name, path in paths.items() if name in LOSSES[loss]})

    return make


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, flags_of):
    """The folders of the runs that need two processes."""
    folder = tmp_path_factory.mktemp("two")
    splits = ("two processes", "two processes, accumulated")
    runs = {(split, loss): folder / f"{split}-{loss}" for split in splits for loss in LOSSES}
    assert in_processes(2, train_in_turn, [flags_of(*run, output) for run, output in runs.items()]) == [0, 0]
    return runs


@pytest.fixture(scope="module", params=LOSSES)
def whole(request, tmp_path_factory, flags_of):
    """A loss, and the folder of the run that is not split."""
    folder = tmp_path_factory.mktemp("whole")
    train(*parse_arguments(flags_of("whole", request.param, folder)))
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("split", list(SPLITS)[1:])
def test_a_step_does_not_depend_on_how_it_is_split(whole, run, request, flags_of, tmp_path, split):
    loss, unsplit = whole
    if split in ("two processes", "two processes, accumulated"):
        folder = request.getfixturevalue("two_processes")[split, loss]
    else:
        folder = tmp_path / "split"
        run(flags_of(split, loss, folder))
    weights, step, evaluation = results(unsplit)
    other_weights, other_step, other_evaluation = results(folder)
    assert step["mask_loss"] > 0
    for name, weight in weights.items():  # plain gradient descent: equal weights mean equal gradients
        torch.testing.assert_close(other_weights[name], weight, rtol=0, atol=1e-6)  # 1e-5 of gradient x rate 0.1
    for name in ("loss", "classification_loss", "mask_loss"):
        assert other_step[name] == pytest.approx(step[name], abs=1e-4)  # Trainer rounds the loss to four digits
    values = ["patch_iou", "energy_pointing_game", "loss", "classification_loss", "mask_loss"]
    values += ["mean_average_precision", "auroc", "auroc_0"] if "data" in LOSSES[loss] else ["accuracy"]
    for name in values:
        assert other_evaluation[f"eval_{name}"] == pytest.approx(evaluation[f"eval_{name}"], abs=1e-5)
