"""ONNX graphs: equal to PyTorch at any size, and a folder that needs onnxruntime alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.image_loading_pm_vit import load_image

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

from modeling_pm_vit.export import FILES, export_folder, measure_agreement  # noqa: E402

pytestmark = pytest.mark.slow  # whole runs

OUTPUTS = ["logits", "scores", "masks"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_model, make_processor):
    folder = tmp_path_factory.mktemp("onnx")
    export_folder(make_model(), make_processor(), folder)
    return folder


def run(path, pixel_values):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(OUTPUTS, {"pixel_values": pixel_values.numpy()})


@pytest.mark.parametrize("precision, tolerance", [("fp32", 1e-5), ("fp16", 5e-3), ("int8", 0.1)])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 32), (2, 24, 56), (1, 72, 16)])
def test_the_graph_follows_pytorch_at_any_batch_and_size(exported, make_model, precision, tolerance, shape):
    batch, height, width = shape
    pixel_values = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = make_model()(pixel_values, explain_labels=torch.arange(5).expand(batch, -1))
    logits, scores, masks = run(exported / FILES[precision], pixel_values)
    assert masks.shape == (batch, 5, height // 8, width // 8)
    assert np.abs(logits - expected.logits.numpy()).max() < tolerance
    assert np.abs(scores - expected.logits.softmax(-1).numpy()).max() < tolerance
    assert np.abs(masks - expected.mask_logits.sigmoid().numpy()).max() < tolerance


@pytest.mark.parametrize("precision", FILES)
def test_a_graph_names_no_file_of_the_machine_that_exported_it(exported, precision):
    assert b".py" not in (exported / FILES[precision]).read_bytes()


def test_the_agreement_measures_differences(exported, make_model, make_processor):
    images = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)) for i in range(4)]
    found = measure_agreement(make_model(), make_processor(), exported / FILES["fp32"], images, batch_size=3)
    assert found["logit_difference"] < 1e-5
    assert found["mask_difference"] < 1e-5
    assert found["top1_agreement"] == found["mask_iou"] == 1
    assert found["mask_share"] > 0
    other = make_model()
    with torch.no_grad():
        other.classifier.bias += torch.tensor([0.0, 0, 0, 0, 100])
    found = measure_agreement(other, make_processor(), exported / FILES["fp32"], images)
    assert found["logit_difference"] == pytest.approx(100, abs=1e-3)
    assert found["top1_agreement"] < 1


# Blocks whatever is not the standard library, onnxruntime, numpy or Pillow, then runs the shipped example.
ALONE = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "modeling_pm_vit", "onnx", "onnxscript"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("file", FILES.values())
def test_the_folder_needs_onnxruntime_only(exported, make_model, make_processor, file, request):
    image = request.config.rootpath / "examples" / "scene.png"
    command = [sys.executable, "-c", ALONE, str(exported / "example.py"), str(image), file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = make_model().explain(load_image(image), top_k=2, image_processor=make_processor())
    lines = done.stdout.splitlines()
    if file == FILES["int8"]:  # close probabilities may change places
        assert len(lines) == 2
    else:
        for line, label, score in zip(lines, expected["labels"], expected["scores"].tolist(), strict=True):
            assert line.startswith(f"{label}: {score:.1%}")


def test_the_description_has_classes_and_preprocessing(exported):
    description = json.loads((exported / "model.json").read_text())
    assert description["files"] == FILES
    assert description["labels"] == [f"LABEL_{i}" for i in range(5)]
    assert (description["height"], description["width"], description["patch_size"]) == (32, 32, [8, 8])
    assert len((exported / "example.py").read_text().splitlines()) <= 35


def test_multi_label_scores_are_sigmoids(tmp_path, make_model, make_processor):
    path = export_folder(
        make_model(problem_type="multi_label_classification", patch_size=[4, 8]), make_processor(), tmp_path, ["fp32"]
    )["fp32"]
    logits, scores, masks = run(path, torch.zeros(1, 3, 32, 32))
    assert np.allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert masks.shape == (1, 5, 8, 4)
    assert not (tmp_path / FILES["int8"]).exists()


@pytest.mark.parametrize(
    "settings, precisions, message",
    [
        ({"do_center_crop": True}, ["fp32"], "do_center_crop True"),
        ({"resample": 0}, ["fp32"], "resample 0"),
        ({"do_normalize": False}, ["fp32"], "do_normalize False"),
        ({"size": {"shortest_edge": 32}}, ["fp32"], "fixed height and width"),
        ({}, ["fp8"], "precisions are fp32, fp16, int8, got 'fp8'"),
    ],
)
def test_unsupported_processors_and_precisions_are_named(
    tmp_path, make_model, make_processor, settings, precisions, message
):
    with pytest.raises(ValueError, match=message):
        export_folder(make_model(), make_processor(**settings), tmp_path / "out", precisions)
    assert not (tmp_path / "out").exists()
