"""What tests of publishing share: a folder to publish, and a local server with the protocol of the Hub."""

import hashlib
import json
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.hub.arguments import PublishArguments
from modeling_pm_vit.hub.release import stage
from modeling_pm_vit.utils.fingerprint import fingerprint
from tests.hub.hub_server import running_hub

REPOSITORY = "birds/pm-vit"
RESULTS = {"eval_accuracy": 0.9, "eval_patch_iou": 0.5, "eval_energy_pointing_game": 0.7, "eval_loss": 3.0}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with running_hub() as hub:
        yield hub


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.address, token="hf_test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, vivid_model, make_processor):
    """A folder as the training leaves it, with files that must not be published."""
    folder = tmp_path_factory.mktemp("trained")
    vivid_model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    (folder / "eval_results.json").write_text(json.dumps(RESULTS))
    (folder / "training_args.json").write_text(json.dumps({"learning_rate": 0.001, "output_dir": "/home/me"}))
    (folder / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (folder / "checkpoint-3").mkdir()
    return folder


@pytest.fixture(scope="module")
def example(request):
    return request.config.rootpath / "examples" / "scene.png"


def write_export(folder: Path, model: Path, **agreement) -> None:
    """A folder as `pm-vit export` writes it, with something in place of a graph."""
    graphs = folder / "onnx"
    graphs.mkdir()
    (graphs / "model.onnx").write_bytes(b"graph")
    measured = {"top1_agreement": 1.0, "mask_iou": 0.99, "logit_difference": 0.1, "mask_difference": 0.1}
    measured |= {"sha256": hashlib.sha256(b"graph").hexdigest()} | agreement
    weights = fingerprint(PMViTForImageClassification.from_pretrained(model))
    description = {"weights": weights, "files": {"fp32": "model.onnx"}, "agreement": {"fp32": measured}}
    (graphs / "model.json").write_text(json.dumps(description))


@pytest.fixture(scope="module")
def arguments(trained, example, tmp_path_factory):
    onnx = tmp_path_factory.mktemp("onnx")
    write_export(onnx, trained)
    return PublishArguments(
        trained,
        REPOSITORY,
        "v1.0",
        "birds/photographs",
        "cc-by-nc-4.0",
        [str(example)],
        base_model="birds/vit",
        onnx=onnx,
    )


@pytest.fixture(scope="module")
def first(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged") / "first"
    stage(arguments, folder)
    return folder


@pytest.fixture
def fast_load(monkeypatch):
    """In place of the separate process, which has tests of its own."""
    result = {"keys": [], "explained": [{"label": "tit", "score": 0.9, "box": None}]}
    monkeypatch.setattr("modeling_pm_vit.hub.publish.load_in_clean_environment", lambda *arguments: result)
