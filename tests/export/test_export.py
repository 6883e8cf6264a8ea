"""ONNX graphs: equal to PyTorch at any size, and a folder that needs onnxruntime alone."""

import json
import shutil
import subprocess
import sys
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.confidence_pm_vit import DISTANCE_SCORES
from modeling_pm_vit.distance_pm_vit import FeatureDistance
from modeling_pm_vit.image_loading_pm_vit import load_image

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from modeling_pm_vit.cli.main import main  # noqa: E402
from modeling_pm_vit.export import (  # noqa: E402
    FILES,
    example,
    export_folder,
    measure_agreement,
    problems_of_export,
    shortfalls,
)
from modeling_pm_vit.export.graph import write_fp16, write_int8  # noqa: E402
from modeling_pm_vit.inference.predictor import OnnxPredictor  # noqa: E402
from modeling_pm_vit.serving.exported import GRAPHS, find_export  # noqa: E402
from modeling_pm_vit.serving.graph import Graph  # noqa: E402

pytestmark = pytest.mark.slow  # whole runs

IMAGES = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)) for i in range(4)]
OUTPUTS = ["logits", "scores", "masks"]


@pytest.fixture(scope="module")
def make_model(make_model):
    return partial(make_model, num_hidden_layers=1, class_temperature=1.5, map_temperature=0.7)


@pytest.fixture(scope="module")
def exported(make_model, export_once):
    return export_once(make_model())


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
    logits, scores, masks = run(exported / GRAPHS / FILES[precision], pixel_values)
    assert masks.shape == (batch, 5, height // 8, width // 8)
    assert np.abs(logits - expected.logits.numpy()).max() < tolerance
    assert np.abs(scores - (expected.logits / 1.5).softmax(-1).numpy()).max() < tolerance
    assert np.abs(masks - (expected.mask_logits / 0.7).sigmoid().numpy()).max() < tolerance


@pytest.mark.parametrize("score", DISTANCE_SCORES)
def test_the_distance_of_the_features_is_an_output(make_model, make_processor, score, tmp_path):
    """And the answers of both engines without PyTorch have the same confidence."""
    generator = torch.Generator().manual_seed(0)
    references = 12 if score == "nearest_neighbours" else 5
    model = make_model(confidence_score=score, confidence_references=references, confidence_threshold=-1.0)
    features = torch.randn(12, model.config.hidden_size, generator=generator)
    model.distance.load_state_dict(FeatureDistance.fitted(score, features, torch.arange(12) % 5).state_dict())
    export_folder(model, make_processor(), tmp_path, IMAGES, least={})
    pixel_values = torch.randn(3, 3, 32, 32, generator=generator)
    expected = model.predict(pixel_values)
    for precision, tolerance in (("fp32", 1e-4), ("fp16", 2e-2), ("int8", 0.2)):
        found = OnnxPredictor(tmp_path, precision)(pixel_values)
        torch.testing.assert_close(found.confidence, expected.confidence, rtol=tolerance, atol=tolerance)
    doubts = Graph(tmp_path).run(pixel_values.numpy())[2]
    assert doubts == expected.doubts() == OnnxPredictor(tmp_path)(pixel_values).doubts()


@pytest.mark.parametrize("precision", FILES)
def test_a_graph_is_valid_onnx(exported, precision):
    onnx.checker.check_model(exported / GRAPHS / FILES[precision], full_check=True)


@pytest.mark.parametrize("precision", FILES)
@pytest.mark.parametrize("size", [(33, 32), (32, 39), (31, 32), (4, 8)])
def test_a_graph_refuses_a_size_that_the_patch_does_not_divide(exported, precision, size):
    with pytest.raises(Exception, match=r"the_patch_size_must_divide_height_and_width|Invalid input shape"):
        run(exported / GRAPHS / FILES[precision], torch.zeros(1, 3, *size))


@pytest.fixture
def graph_at_hand(exported, monkeypatch):
    """Tracing a model takes seconds: export the graph of `make_model` again without it."""
    copy = lambda model, path, size=None: shutil.copyfile(exported / GRAPHS / FILES["fp32"], path)  # noqa: E731
    monkeypatch.setattr("modeling_pm_vit.export.folder.write_fp32", copy)


def scale_patch_embedding(source, target, factor):
    graph = onnx.load(source)
    weight = next(w for w in graph.graph.initializer if w.name.endswith("projection.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(factor), weight.name))
    onnx.save(graph, target)


@pytest.mark.usefixtures("graph_at_hand")
def test_a_graph_that_does_not_agree_is_neither_written_nor_left_from_before(
    exported, make_model, make_processor, tmp_path, monkeypatch
):
    spoil = partial(scale_patch_embedding, factor=np.nan)
    monkeypatch.setattr("modeling_pm_vit.export.folder._WRITE", {"fp16": write_fp16, "int8": spoil})
    folder = shutil.copytree(exported, tmp_path / "onnx")
    found = export_folder(make_model(), make_processor(), folder, IMAGES)
    assert "logit_difference is not finite" in found["int8"]["problems"]
    assert {path.name for path in folder.iterdir()} == {GRAPHS, "config.json", "preprocessor_config.json"}
    written = {path.name for path in (folder / GRAPHS).iterdir()}
    assert written == {"model.onnx", "model_fp16.onnx", "model.json", "example.py"}
    description = json.loads((folder / GRAPHS / "model.json").read_text())
    assert description["files"] == {"fp32": "model.onnx", "fp16": "model_fp16.onnx"}
    assert description["agreement"].keys() == description["files"].keys()
    assert problems_of_export(folder, make_model()) == []


@pytest.mark.usefixtures("graph_at_hand")
def test_an_export_of_an_older_version_is_replaced(exported, make_model, make_processor, tmp_path):
    """Older versions wrote the graphs into the folder itself."""
    folder = shutil.copytree(exported / GRAPHS, tmp_path / "onnx")
    (folder / "model_quantized.onnx").rename(folder / "model_int8.onnx")
    _change_in(folder, files=FILES | {"int8": "model_int8.onnx"})
    (folder / "notes.md").write_text("of mine")
    assert find_export(folder) == folder
    export_folder(make_model(), make_processor(), folder, IMAGES, ["fp32"], least={})
    assert find_export(folder) == folder / GRAPHS
    names = {GRAPHS, "config.json", "preprocessor_config.json", "notes.md"}
    assert {path.name for path in folder.iterdir()} == names
    assert problems_of_export(folder, make_model()) == []


@pytest.mark.usefixtures("graph_at_hand")
@pytest.mark.parametrize("asked, status", [([], 0), (["--precision", "int8"], 1), (["--precision", "fp16"], 0)])
def test_the_command_fails_only_if_a_precision_that_was_asked_for_is_left_out(
    make_model, make_processor, tmp_path, monkeypatch, capsys, request, asked, status
):
    spoil = partial(scale_patch_embedding, factor=np.nan)
    monkeypatch.setattr("modeling_pm_vit.export.folder._WRITE", {"fp16": write_fp16, "int8": spoil})
    make_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    images = str(request.config.rootpath / "examples")
    words = ["export", str(tmp_path), "--output_dir", str(tmp_path / "onnx"), "--images", images, "--max_samples", "2"]
    assert main([*words, *asked]) == status
    printed = capsys.readouterr()
    line = "pm-vit export: int8 does not agree with PyTorch, and is not written: "
    assert (line in printed.err) == (status == 1)
    assert (line in printed.out) == (asked == [])
    assert not (tmp_path / "onnx" / GRAPHS / FILES["int8"]).exists()


@pytest.mark.usefixtures("graph_at_hand")
def test_nothing_is_written_if_fp32_does_not_agree(make_model, make_processor, tmp_path):
    found = export_folder(make_model(), make_processor(), tmp_path, IMAGES, least={"mask_iou": 1.1})
    assert found["fp32"]["problems"] == ["mask_iou 1.0000 < 1.1"]
    assert found.keys() == {"fp32"}
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_the_range_of_fp16_are_a_disagreement(exported, make_model, make_processor, tmp_path):
    scale_patch_embedding(exported / GRAPHS / FILES["fp32"], tmp_path / "large.onnx", 1e7)
    write_fp16(tmp_path / "large.onnx", tmp_path / "halved.onnx")
    found = measure_agreement(make_model(), make_processor(), tmp_path / "halved.onnx", IMAGES)
    assert "logit_difference is not finite" in shortfalls(found)


def test_a_large_weight_costs_only_those_of_its_block_precision(tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(128, 8)).astype(np.float32)
    weight[0] = 100
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["pixel_values", "weight"], ["logits"])],
        "product",
        [value("pixel_values", onnx.TensorProto.FLOAT, [4, 128])],
        [value("logits", onnx.TensorProto.FLOAT, [4, 8])],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)]), tmp_path / "fp32.onnx")
    write_int8(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    onnx.checker.check_model(tmp_path / "int8.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx")
    x = rng.normal(size=(4, 128)).astype(np.float32)
    x[:, :64] = 0  # the second block, which has no large weight
    assert np.abs(session.run(None, {"pixel_values": x})[0] - x @ weight).max() < 0.3


def _change(folder, **values):
    _change_in(folder / GRAPHS, **values)


def _change_in(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "spoil, problem",
    [
        (lambda f: _change(f, weights="0"), "it was not exported from these weights"),
        (lambda f: (f / GRAPHS / "model.json").write_text("{}"), "it was not exported from these weights"),
        (lambda f: _change(f, files={"fp32": "model.onnx"}), "model_fp16.onnx is not named in model.json"),
        (lambda f: _change(f, files={"int8": FILES["int8"]}), "model.json names no graph in fp32"),
        (lambda f: _change(f, agreement={}), "model.onnx was not compared"),
        (
            lambda f: (f / GRAPHS / "model.onnx").write_bytes(b"x"),
            "model.onnx was not compared with the model, or was changed",
        ),
        (lambda f: (f / GRAPHS / "model.onnx").unlink(), "model.onnx is missing"),
    ],
)
def test_an_export_that_should_not_be_published_is_found(exported, make_model, tmp_path, spoil, problem):
    folder = shutil.copytree(exported, tmp_path / "onnx")
    spoil(folder)
    assert any(found.startswith(problem) for found in problems_of_export(folder, make_model()))


def test_an_export_from_before_a_calibration_is_found(exported, make_model, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "onnx")
    for changed in ({"class_temperature": 1.6}, {"map_temperature": 0.8}):
        (problem,) = problems_of_export(folder, make_model(**changed))
        assert problem.endswith("or before they were calibrated")


def test_a_graph_that_was_written_in_spite_of_its_agreement_is_found(exported, make_model, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "onnx")
    description = json.loads((folder / GRAPHS / "model.json").read_text())
    description["agreement"]["int8"]["mask_iou"] = 0.899
    _change(folder, **description)
    assert "model_quantized.onnx does not agree with the model: mask_iou 0.8990 < 0.95" in problems_of_export(
        folder, make_model()
    )


@pytest.mark.parametrize("precision", FILES)
def test_a_graph_names_no_file_of_the_machine_that_exported_it(exported, precision):
    assert b".py" not in (exported / GRAPHS / FILES[precision]).read_bytes()


def test_the_agreement_measures_differences(exported, make_model, make_processor):
    found = measure_agreement(make_model(), make_processor(), exported / GRAPHS / FILES["fp32"], IMAGES, batch_size=3)
    assert found["logit_difference"] < 1e-5
    assert found["mask_difference"] < 1e-5
    assert found["top1_agreement"] == found["mask_iou"] == 1
    assert found["mask_share"] > 0
    other = make_model()
    with torch.no_grad():
        other.classifier.bias += torch.tensor([0.0, 0, 0, 0, 100])
    found = measure_agreement(other, make_processor(), exported / GRAPHS / FILES["fp32"], IMAGES)
    assert found["logit_difference"] == pytest.approx(100, abs=1e-3)
    assert found["top1_agreement"] < 1


def test_empty_masks_do_not_raise_the_agreement(make_processor, monkeypatch):
    """Three images: no mask, a mask that half agrees, no mask."""
    expected = torch.full((3, 1, 4, 4), -9.0)
    expected[1, 0, :2] = 9
    masks = np.zeros((3, 1, 4, 4), np.float32)
    masks[1, 0, :1] = 1

    class Model:
        config = SimpleNamespace(num_labels=1)

        def __call__(self, pixel_values, explain_labels):
            return SimpleNamespace(logits=torch.zeros(3, 1), mask_logits=expected)

    session = SimpleNamespace(run=lambda names, inputs: (np.zeros((3, 1), np.float32), None, masks))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kwargs: session)
    found = measure_agreement(Model(), make_processor(), None, IMAGES[:3])
    assert found["mask_share"] == pytest.approx(1 / 3)
    assert found["mask_iou"] == pytest.approx(0.5, abs=0.05)
    expected[1], masks[1] = -9, 0
    found = measure_agreement(Model(), make_processor(), None, IMAGES[:3])
    assert (found["mask_share"], found["mask_iou"]) == (0, 1)


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
    command = [sys.executable, "-c", ALONE, str(exported / GRAPHS / "example.py"), str(image), file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = make_model().explain(load_image(image), top_k=2, image_processor=make_processor())
    lines = done.stdout.splitlines()
    if file == FILES["int8"]:  # close probabilities may change places
        assert len(lines) == 2
    else:
        for line, label, score in zip(lines, expected["labels"], expected["scores"].tolist(), strict=True):
            assert line.startswith(f"{label}: {100 * score:.1f} %")


turned = Image.Exif()
turned[0x0112] = 6
DEEP = np.arange(12 * 20).reshape(12, 20)
PHOTOGRAPHS = {
    "turned.jpg": (Image.fromarray(DEEP.astype(np.uint8)), {"exif": turned}),
    "transparent.png": (Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 8, 4), np.uint8)), {}),
    "grey and transparent.png": (Image.fromarray(DEEP.astype(np.uint8)), {"transparency": 7}),
    "palette.gif": (Image.fromarray(DEEP.astype(np.uint8)).convert("P"), {"transparency": 3}),
    "12 bits.png": (Image.fromarray((DEEP * 17).astype(np.uint16)), {}),
    "16 bits.png": (Image.fromarray((DEEP * 270).astype(np.uint16)), {}),
    "32 bits.tiff": (Image.fromarray((DEEP - 90).astype(np.int32)), {}),
    "share.tiff": (Image.fromarray((DEEP / 240).astype(np.float32)), {}),
    "whole.tiff": (Image.fromarray(DEEP.astype(np.float32)), {}),
    "float.tiff": (Image.fromarray((DEEP * 0.3 - 9).astype(np.float32)), {}),
    "cmyk.jpg": (Image.new("CMYK", (9, 8), (90, 20, 0, 40)), {}),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_example_reads_photographs_by_the_rules_of_the_loader(name, tmp_path):
    image, options = PHOTOGRAPHS[name]
    image.save(tmp_path / name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are stretched
        expected = load_image(tmp_path / name)
    assert np.array_equal(np.asarray(example.load_image(tmp_path / name)), np.asarray(expected))


def test_the_description_has_classes_and_preprocessing(exported):
    description = json.loads((exported / GRAPHS / "model.json").read_text())
    assert description["files"] == FILES
    assert description["labels"] == [f"LABEL_{i}" for i in range(5)]
    assert (description["height"], description["width"], description["patch_size"]) == (32, 32, [8, 8])
    assert len((exported / GRAPHS / "example.py").read_text().splitlines()) <= 50


def test_multi_label_scores_are_sigmoids(tmp_path, make_model, make_processor):
    model = make_model(problem_type="multi_label_classification", patch_size=[4, 8], class_temperature=1.0)
    export_folder(model, make_processor(), tmp_path, IMAGES, ["fp32"])
    logits, scores, masks = run(tmp_path / GRAPHS / FILES["fp32"], torch.zeros(1, 3, 32, 32))
    assert np.allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert masks.shape == (1, 5, 8, 4)
    assert not (tmp_path / GRAPHS / FILES["int8"]).exists()


@pytest.mark.parametrize(
    "settings, precisions, message",
    [
        ({"do_center_crop": True}, ["fp32"], "do_center_crop True"),
        ({"do_pad": True, "pad_size": {"height": 40, "width": 40}}, ["fp32"], "do_pad True"),
        ({"resample": 0}, ["fp32"], "resample 0"),
        ({"do_normalize": False}, ["fp32"], "do_normalize False"),
        ({"size": {"shortest_edge": 32}}, ["fp32"], "fixed height and width"),
        ({"size": {"height": 32, "width": 36}}, ["fp32"], "32 x 36 pixels .* the patch size 8 x 8 does not divide"),
        ({}, ["fp8"], "precisions are fp32, fp16, int8, got 'fp8'"),
    ],
)
def test_unsupported_processors_and_precisions_are_named(
    tmp_path, make_model, make_processor, settings, precisions, message
):
    with pytest.raises(ValueError, match=message):
        export_folder(make_model(), make_processor(**settings), tmp_path / "out", IMAGES, precisions)
    assert not (tmp_path / "out").exists()
