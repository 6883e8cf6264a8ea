"""
Fixtures for all tests: tiny models, processors and data that are created in milliseconds.

What they need is imported where it is used: the process that hands out the tests to others imports none of it.
"""

import gc
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
    from modeling_pm_vit.evaluation.classifier import Classifier

    from .no_waiting import GPUWithoutValues

# Set before the libraries read them: no test uses the network or the caches of the user.
_home = tempfile.TemporaryDirectory(prefix="pm-vit-tests-")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": _home.name}

# How long an example takes on a busy machine says nothing. `make test-fast` takes fewer examples.
settings.register_profile("all", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("all"), max_examples=15)
settings.load_profile("all")

os.fsync = lambda descriptor: None  # no test cuts the power, and waiting for the disk took longer than computing

gc.disable()  # the libraries create two million objects: see `pytest_collection_finish`


def pytest_collection_finish():
    """What is there when all tests are imported stays. Looking through it took a second for each training run."""
    gc.collect()
    gc.freeze()
    gc.enable()


TINY = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 5,
}


@pytest.fixture(scope="session")
def tiny():
    """Settings of a tiny model."""
    return dict(TINY)


@pytest.fixture(scope="session")
def make_model():
    """Creates a tiny model in evaluation mode; equal settings give equal weights."""
    import torch

    from modeling_pm_vit import PMViTConfig, PMViTForImageClassification

    def make(**settings) -> "PMViTForImageClassification":
        torch.manual_seed(0)
        settings = TINY | settings
        if "id2label" in settings:
            del settings["num_labels"]
        model = PMViTForImageClassification(PMViTConfig(**settings)).eval()
        with torch.no_grad():  # biases have an effect, and probabilities are about 0.5
            model.classifier.bias.zero_()
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter += 0.1 * torch.randn_like(parameter)
        return model

    return make


@pytest.fixture(scope="session")
def make_processor():
    """Creates the processor of the tiny model."""
    from modeling_pm_vit import PMViTImageProcessor

    def make(**settings) -> "PMViTImageProcessor":
        return PMViTImageProcessor(**({"size": {"height": 32, "width": 32}, "patch_size": 8} | settings))

    return make


NAMES = ["tit", "owl", "hen", "elk", "cod"]


@pytest.fixture(scope="session")
def vivid_model(make_model) -> "PMViTForImageClassification":
    """A tiny model of classes with names, whose scores and places differ clearly. It is shared: do not change it."""
    import torch

    model = make_model(id2label=dict(enumerate(NAMES)), label2id={name: number for number, name in enumerate(NAMES)})
    with torch.no_grad():
        model.classifier.weight *= 20
    return model


@pytest.fixture(scope="session")
def export_once(tmp_path_factory, make_processor):
    """
    `export_once(model)`: a folder with a tiny model in all precisions, as `pm-vit export` writes it. Tracing a model
    takes seconds, so equal models are exported once for all tests and processes: do not change the folder.
    """
    import numpy as np
    from filelock import FileLock
    from PIL import Image

    from modeling_pm_vit.export import export_folder
    from modeling_pm_vit.serving.exported import find_export
    from modeling_pm_vit.utils.fingerprint import fingerprint

    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)

    def export(model: "PMViTForImageClassification") -> Path:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(package)
        settings = fingerprint(model) + model.config.to_json_string()
        folder = place / f"export-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
        with FileLock(f"{folder}.lock"):
            if find_export(folder) is None:  # its description is written last
                export_folder(model, make_processor(), folder, [Image.fromarray(one) for one in pixels], least={})
        return folder

    return export


@pytest.fixture
def gpu() -> "GPUWithoutValues":
    """Tells whether a program waits for a GPU, without one."""
    from .no_waiting import GPUWithoutValues

    return GPUWithoutValues()


@pytest.fixture
def imagenet_folders(tmp_path):
    """
    Folders in the layouts of ImageNet-1k and ImageNet-S: four classes with four training and two validation images. The
    first image of each class has a mask, except for the first class, which is not a category of ImageNet-S.
    """
    import numpy as np
    from PIL import Image

    imagenet, imagenet_s = tmp_path / "imagenet", tmp_path / "ImageNetS"
    wnids = ["n01440764", "n01443537", "n02012849", "n03126707"]
    rng = np.random.default_rng(0)
    for split, count, masks in (("train", 4, "train-semi-segmentation"), ("val", 2, "validation-segmentation")):
        for number, wnid in enumerate(wnids):
            folder = imagenet / split / wnid
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / f"{wnid}_{split}{i}.JPEG")
            if number:
                ids = np.zeros((40, 48), np.int32)
                ids[:20, :24], ids[30:] = number, 1000
                (imagenet_s / masks / wnid).mkdir(parents=True)
                mask = Image.fromarray(np.stack([ids % 256, ids // 256, 0 * ids], -1).astype(np.uint8))
                mask.save(imagenet_s / masks / wnid / f"{wnid}_{split}0.png")
    (imagenet / "LOC_synset_mapping.txt").write_text(
        "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn02012849 crane\nn03126707 crane\n"
    )
    return imagenet, imagenet_s


@pytest.fixture
def make_classifier():
    """Creates a [`Classifier`] with a linear model of images of `size` x `size`."""
    from modeling_pm_vit.evaluation.classifier import Classifier

    from .linear import Linear

    def make(size: int = 8, classes: int = 4, batch_size: int = 64, seed: int = 0) -> "Classifier":
        return Classifier(Linear(size, classes, seed), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), batch_size)

    return make
