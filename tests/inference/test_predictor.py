import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.inference import OnnxPredictor, TorchPredictor, open_predictor
from modeling_pm_vit.inference.photographs import Photograph, read_photograph
from modeling_pm_vit.inference.predictor import heatmap_of, predict


@pytest.fixture(scope="module")
def pixel_values():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def make_model(make_model):
    """Of the settings of tests/export/test_export.py, with which it shares the graphs."""
    return partial(make_model, num_hidden_layers=1, class_temperature=1.5, map_temperature=0.7)


@pytest.fixture(scope="module")
def exported(make_model, export_once):
    return export_once(make_model())


@pytest.mark.slow
@pytest.mark.parametrize("explained", [{"top_k": 2}, {"top_k": 5}, {"labels": ["LABEL_3", "LABEL_0"]}])
@pytest.mark.parametrize("precision, tolerance", [("fp32", 1e-5), ("int8", 0.02)])
def test_onnx_runtime_follows_pytorch(
    exported, make_model, make_processor, pixel_values, explained, precision, tolerance
):
    plain = TorchPredictor(make_model(), make_processor(), top_k=5)(pixel_values)
    ours = OnnxPredictor(exported, precision, **explained)(pixel_values)
    count = explained.get("top_k", 2)
    assert ours.mask_logits.shape == (3, count, 4, 4)
    for image in range(3):
        slots = [plain.explain_labels[image].tolist().index(label) for label in ours.explain_labels[image].tolist()]
        assert torch.allclose(ours.scores[image], plain.scores[image, slots], atol=tolerance)
        expected = plain.mask_logits[image, slots].sigmoid()
        assert torch.allclose(ours.mask_logits[image].sigmoid(), expected, atol=tolerance)
    if "labels" in explained:
        assert ours.explain_labels.tolist() == [[3, 0]] * 3


@pytest.mark.slow
def test_the_exported_processor_is_the_models(exported, make_processor):
    image = torch.rand(3, 50, 40, generator=torch.Generator().manual_seed(0)).numpy()
    ours, expected = OnnxPredictor(exported).image_processor, make_processor()
    assert torch.equal(*(p(image, return_tensors="pt").pixel_values for p in (ours, expected)))


@pytest.mark.slow
def test_a_graph_keeps_the_proportions_of_images_too(exported, make_model, make_processor):
    plain = TorchPredictor(make_model(), make_processor(), top_k=2, keep_aspect_ratio=True)
    ours = OnnxPredictor(exported, top_k=2, keep_aspect_ratio=True)
    assert ours.settings != OnnxPredictor(exported, top_k=2).settings
    photographs = []
    for number, size in enumerate([(20, 90), (40, 40), (90, 20), (20, 90)]):
        noise = torch.rand(3, *size, generator=torch.Generator().manual_seed(number)).numpy()
        photographs.append(Photograph(size, ours.image_processor(noise, return_tensors="pt").pixel_values[0], None))
    found = [list(predict(predictor, photographs)) for predictor in (plain, ours)]
    assert [tuple(one.mask_logits.shape) for one in found[0]] == [
        (1, 2, 2, 8),
        (1, 2, 4, 4),
        (1, 2, 8, 2),
        (1, 2, 2, 8),
    ]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.explain_labels, other.explain_labels)
        assert torch.allclose(one.mask_logits.sigmoid(), other.mask_logits.sigmoid(), atol=1e-5)


@pytest.mark.parametrize("chosen", [{"top_k": 2}, {"labels": [3, 0]}])
def test_a_compiled_model_fills_up_the_last_batch(make_model, make_processor, pixel_values, monkeypatch, chosen):
    sizes = []
    model = make_model()

    def compile(model, **settings):
        return lambda pixel_values, **kwargs: sizes.append(len(pixel_values)) or model(pixel_values, **kwargs)

    monkeypatch.setattr(torch, "compile", compile)
    predictor, plain = (TorchPredictor(model, make_processor(), compiled=c, **chosen) for c in (True, False))
    predictor(pixel_values)
    last = predictor(pixel_values[:2])
    assert sizes == [3, 3]
    assert last.explain_labels.tolist() == plain(pixel_values[:2]).explain_labels.tolist()
    assert torch.allclose(last.mask_logits, plain(pixel_values[:2]).mask_logits, atol=1e-5)


@pytest.mark.slow
def test_what_does_not_go_together_is_said(exported, folder, tmp_path):
    with pytest.raises(ValueError, match=r"no graph in bf16, only in fp32, fp16, int8\."):
        open_predictor(str(exported), backend="onnx", precision="bf16")
    with pytest.raises(FileNotFoundError, match=r"pm-vit export MODEL"):
        open_predictor(str(tmp_path), backend="onnx")
    with pytest.raises(ValueError, match="optimises its graphs itself"):
        open_predictor(str(exported), backend="onnx", compiled=True)
    with pytest.raises(ValueError, match="--compile needs images of one size"):
        open_predictor(str(folder), compiled=True, keep_aspect_ratio=True)
    with pytest.raises(ValueError, match="got --precision int8"):
        open_predictor(str(folder), precision="int8")
    with pytest.raises(ValueError, match="no class 'blue'"):
        open_predictor(str(folder), ["blue"])


def test_a_graph_of_one_size_refuses_to_keep_proportions(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", 3, 32, 48]) for x in ("pixel_values", "masks")
    ]
    graph = helper.make_graph([helper.make_node("Relu", ["pixel_values"], ["masks"])], "fixed", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "model.onnx")
    description = {
        "files": {"fp32": "model.onnx"},
        "labels": ["a", "b"],
        "height": 32,
        "width": 48,
        "patch_size": [8, 8],
    }
    description |= {"resample": 3, "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "model.json").write_text(json.dumps(description))
    OnnxPredictor(tmp_path)
    with pytest.raises(ValueError, match=r"--keep_aspect_ratio makes inputs of other shapes than 32 x 48 pixels"):
        OnnxPredictor(tmp_path, keep_aspect_ratio=True)


@pytest.mark.slow
def test_settings_tell_models_and_precisions_apart(exported, folder):
    predictors = [
        open_predictor(str(folder)),
        open_predictor(str(folder), precision="bf16"),
        open_predictor(str(exported), backend="onnx"),
        open_predictor(str(exported), backend="onnx", precision="int8"),
    ]
    assert len({json.dumps(predictor.settings) for predictor in predictors}) == 4


@pytest.mark.parametrize("keep", [False, True], ids=["resized", "proportions kept"])
def test_a_map_is_made_at_the_size_that_is_drawn(make_model, make_processor, keep):
    predictor = TorchPredictor(make_model(), make_processor(), keep_aspect_ratio=keep)
    photograph = read_photograph(Image.new("RGB", (1500, 1000), "red"), predictor.image_processor, keep_image=True)
    (prediction,) = predict(predictor, [photograph])
    prediction.mask_logits = 3 * torch.randn(prediction.mask_logits.shape, generator=torch.Generator().manual_seed(0))
    full = heatmap_of(predictor, photograph, prediction, photograph.size)
    (expected,) = predictor.image_processor.post_process_masks(prediction, [photograph.size])
    assert np.array_equal(full, expected["heatmaps"][0])
    drawn = heatmap_of(predictor, photograph, prediction, (200, 300))
    shrunk = np.asarray(Image.fromarray(full).resize((300, 200), Image.Resampling.BILINEAR))
    assert drawn.shape == (200, 300) and drawn.min() >= 0 and drawn.max() <= 1
    assert np.abs(drawn - shrunk).max() < 0.01  # at the creases of the map, which shrinking smooths
    assert np.abs(drawn - shrunk).mean() < 0.001
