import pytest
import torch

from modeling_pm_vit.explanation_pm_vit import IGNORE
from modeling_pm_vit.training.data_arguments import DataArguments
from modeling_pm_vit.training.teacher import taught_masks
from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.weak_loss_pm_vit import POSSIBLE

from .conftest import write_sure_model

EVERYWHERE = torch.full((1, 1, 1), float(POSSIBLE))


def test_a_teacher_tells_only_what_it_is_sure_of():
    probabilities = torch.tensor([0.9, 0.56, 0.54, 0.26, 0.24, 0.0]).reshape(1, 2, 3)
    assert taught_masks(probabilities, EVERYWHERE).flatten().tolist() == [1, 1, POSSIBLE, POSSIBLE, 0, 0]


def test_a_teacher_changes_only_what_was_open():
    """In a mosaic a class is possible in its own cell, whose patches its area counts; in a mixture it has a share."""
    sure = torch.tensor([0.9, 0.1, 0.9, 0.9]).reshape(1, 2, 2)
    for masks, taught in {
        (-1.0, -1.0, 0.0, 0.25): [1.0, 0.0, 0.0, 0.25],
        (-0.5, -0.5, IGNORE, 0.0): [0.5, 0.0, IGNORE, 0.0],
        (-1.0, 0.0, 0.0, 0.0): [-1.0, 0.0, 0.0, 0.0],  # all of the cell: left to the label
    }.items():
        assert taught_masks(sure, torch.tensor(masks).reshape(1, 2, 2)).flatten().tolist() == taught


@pytest.mark.parametrize("present", [0, 2, 91, 100])
def test_of_an_image_that_is_nearly_all_object_or_none_nothing_is_taught(present):
    probabilities = torch.cat((torch.full((present,), 0.9), torch.full((100 - present,), 0.1))).reshape(1, 10, 10)
    assert (taught_masks(probabilities, EVERYWHERE) == POSSIBLE).all()


@pytest.mark.slow
@pytest.mark.parametrize("where", [["--augment_on", "device"], ["--frozen_layers", 1, "--feature_epochs", 1]])
def test_the_average_teaches_from_its_start_on(run, flags, where, tmp_path):
    """Until then the run is that of the labels alone."""
    write_sure_model(tmp_path / "sure")
    common = ["--model", tmp_path / "sure", *where, "--ema_decay", 0.5, "--mask_fraction", 0]
    losses = {}
    for name, more in {
        "labels": ["labels"],
        "never": ["self_training", "--teacher_start", 1],
        "last step": ["self_training", "--teacher_start", 0.6],
        "always": ["self_training", "--teacher_start", 0],
    }.items():
        folder = tmp_path / name
        run(flags, *common, "--weak_supervision", *more, "--output_dir", folder)
        losses[name] = (folder / "model.safetensors").read_bytes()
    assert losses["labels"] == losses["never"]
    assert len(set(losses.values())) == 3


@pytest.mark.parametrize("wrong", [["--augment_on", "cpu"], ["--ema_decay", 0]])
def test_self_training_without_an_average_or_its_images_is_refused(run, flags, wrong):
    with pytest.raises(InputError, match="--weak_supervision self_training needs an --ema_decay above 0"):
        run(flags, "--weak_supervision", "self_training", *wrong)


def test_weak_supervision_brings_mosaics():
    assert DataArguments().mosaics == 0
    assert DataArguments(weak_supervision="labels").mosaics > 0
    assert DataArguments(weak_supervision="labels", mosaics=0.0).mosaics == 0
