"""Every way from a photograph to classes, scores, maps, masks and boxes gives the same answer.

In batches of the same size it is bitwise the same.
"""

import base64
import importlib.util
import io
import json

import numpy as np
import pytest
import torch
from accelerate import PartialState
from PIL import Image
from transformers import pipeline

from modeling_pm_vit import image_processing_pm_vit, maps_pm_vit
from modeling_pm_vit.hub.endpoint import stage_endpoint
from modeling_pm_vit.hub.handler import _TorchEngine
from modeling_pm_vit.inference import TorchPredictor, explain_files
from modeling_pm_vit.inference.parquet import PathRows, explain_rows, read_explanations, stored_heatmaps
from modeling_pm_vit.maps_pm_vit import box_record
from modeling_pm_vit.pseudo_masks.self_training import SelfTraining
from modeling_pm_vit.serving.answers import Answerer

THRESHOLD = 0.45


def records_of(explanation):
    """What every way gives of each class of an image."""
    boxes = [box and dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in explanation["boxes"]]
    rows = zip(explanation["labels"], explanation["scores"].tolist(), boxes, strict=True)
    return [{"label": label, "score": score, "box": box, "doubt": explanation["doubt"]} for label, score, box in rows]


@pytest.fixture(
    scope="module", params=["single_label_classification", "multi_label_classification"], ids=["single", "multi"]
)
def answers(request, tmp_path_factory, make_model, make_processor):
    """A model, its processor, paths of photographs, and what the model's `explain` says of them."""
    folder = tmp_path_factory.mktemp("answers")
    model = make_model().eval()
    model.config.problem_type = request.param
    model.config.class_temperature, model.config.map_temperature = 1.7, 0.6
    model.config.confidence_score = "named_and_seen"
    torch.nn.init.normal_(model.classifier.weight, std=0.5, generator=torch.Generator().manual_seed(0))
    turned = Image.Exif()
    turned[0x0112] = 6
    paths = []
    for number, (size, options) in enumerate(
        [((20, 30, 3), {}), ((40, 17, 4), {}), ((64, 64, 3), {"exif": turned}), ((33, 50), {}), ((32, 20), {})]
    ):
        pixels = np.random.default_rng(number).integers(0, 256, size, np.uint8)
        if len(size) == 2:  # 12 bits, then 16
            pixels = pixels * np.uint16(16 if number == 3 else 257)
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1], **options)
    sure = sorted(one["confidence"] for one in model.explain(paths, image_processor=make_processor()))
    model.config.confidence_threshold = (sure[1] + sure[2]) / 2
    model.save_pretrained(folder / "model")
    make_processor().save_pretrained(folder / "model")
    explanations = model.explain(paths, top_k=2, image_processor=make_processor(), threshold=THRESHOLD)
    assert any(any(explanation["boxes"]) for explanation in explanations)
    assert [explanation["doubt"] for explanation in explanations].count("unsure") == 2
    return model, make_processor(), paths, explanations, folder / "model"


def test_the_pipeline(answers):
    model, processor, paths, explanations, _ = answers
    found = pipeline("image-explanation", model=model, image_processor=processor)(
        [str(path) for path in paths], top_k=2, threshold=THRESHOLD, batch_size=5
    )
    for record, explanation in zip(found, explanations, strict=True):
        expected = records_of(explanation)
        assert [{key: found[key] for key in ("label", "score", "box", "doubt")} for found in record] == expected
        for slot, masks in zip(record, explanation["masks"], strict=True):
            assert np.array_equal(np.asarray(slot["mask"]) == 255, masks.numpy())


def test_the_folder_and_the_shards(answers, tmp_path):
    model, processor, paths, explanations, _ = answers
    predictor = TorchPredictor(model, processor, top_k=2)
    records, failures = explain_files(predictor, paths, tmp_path, THRESHOLD, batch_size=5, pictures=False)
    assert failures == []
    shards, process = tmp_path / "shards", PartialState(cpu=True)
    explain_rows(predictor, PathRows(paths), shards, {}, process, threshold=THRESHOLD, batch_size=5)
    for record, row, explanation in zip(records, read_explanations(shards), explanations, strict=True):
        for found, expected in zip(record["classes"], records_of(explanation), strict=True):
            assert (found["label"], found["box"]) == (expected["label"], expected["box"])
            assert found["score"] == round(expected["score"], 6)
        assert record["doubt"] == row["doubt"] == explanation["doubt"]
        assert row["confidence"] == explanation["confidence"] == pytest.approx(record["confidence"], abs=1e-6)
        assert row["labels"] == explanation["labels"] and row["label_ids"] == explanation["label_ids"].tolist()
        boxes = [box and tuple(box) for box in row["boxes"]]
        assert boxes == explanation["boxes"] and row["scores"] == explanation["scores"].tolist()


def test_the_same_with_the_proportions_of_the_images(answers, tmp_path):
    """Images have different sizes then, and are not in one batch."""
    model, processor, paths, squeezed, _ = answers
    settings = {"top_k": 2, "keep_aspect_ratio": True}
    explanations = model.explain(paths, image_processor=processor, threshold=THRESHOLD, **settings)
    assert explanations[1]["scores"].tolist() != squeezed[1]["scores"].tolist()
    predictor = TorchPredictor(model, processor, **settings)
    assert predictor.settings != TorchPredictor(model, processor, top_k=2).settings
    records, failures = explain_files(predictor, paths, tmp_path, THRESHOLD, batch_size=5)
    assert failures == []
    shards, process = tmp_path / "shards", PartialState(cpu=True)
    explain_rows(predictor, PathRows(paths), shards, {}, process, threshold=THRESHOLD, batch_size=5)
    explain = pipeline("image-explanation", model=model, image_processor=processor, **settings)
    found = explain([str(path) for path in paths], threshold=THRESHOLD, batch_size=5)
    rows = zip(records, read_explanations(shards), found, explanations, strict=True)
    for record, row, ours, explanation in rows:
        expected = records_of(explanation)
        assert [one["box"] for one in record["classes"]] == [one["box"] for one in expected]
        assert [(one["label"], one["box"]) for one in ours] == [(one["label"], one["box"]) for one in expected]
        for scores in ([one["score"] for one in ours], row["scores"]):  # of other batches
            assert scores == pytest.approx(explanation["scores"].tolist(), abs=1e-6)
        heatmaps = stored_heatmaps(row, predictor.image_processor)
        assert torch.allclose(heatmaps, explanation["heatmaps"], atol=1 / 510 + 1e-6)


def test_no_way_to_masks_and_boxes_makes_a_whole_map(answers, tmp_path, monkeypatch):
    model, processor, paths, explanations, _ = answers
    made = []

    def between(first, second, weight):
        made.append(np.broadcast(first, weight).size)
        return maps_pm_vit_between(first, second, weight)

    maps_pm_vit_between = maps_pm_vit._between
    monkeypatch.setattr(maps_pm_vit, "_between", between)
    monkeypatch.setattr(maps_pm_vit, "STRIPE", 100)
    monkeypatch.setattr(image_processing_pm_vit, "enlarged", None)
    predictor, process = TorchPredictor(model, processor, top_k=2), PartialState(cpu=True)
    records, _ = explain_files(predictor, paths, tmp_path, THRESHOLD, pictures=False)
    explain_rows(predictor, PathRows(paths), tmp_path / "shards", {}, process, threshold=THRESHOLD)
    pipeline("image-explanation", model=model, image_processor=processor)([str(path) for path in paths])
    assert max(made) <= 4 * 64  # a row of each patch row of the widest image, and stripes of 100
    for record, explanation in zip(records, explanations, strict=True):
        for one, mask, heatmap in zip(record["classes"], explanation["masks"], explanation["heatmaps"], strict=True):
            assert one["area"] == pytest.approx(mask.float().mean().item(), abs=1e-6)
            assert one["max_probability"] == pytest.approx(heatmap.max().item(), abs=1e-6)


def test_the_instances_of_the_folder_the_pipeline_and_the_handler(answers, tmp_path):
    model, processor, paths, explanations, folder = answers
    limits = {"instances": 3, "min_area": 2}
    predictor = TorchPredictor(model, processor, top_k=2)
    records, _ = explain_files(predictor, paths, tmp_path, THRESHOLD, batch_size=5, pictures=False, **limits)
    asked = {"top_k": 2, "threshold": THRESHOLD, **limits}
    explain = pipeline("image-explanation", model=model, image_processor=processor)
    piped = explain([str(path) for path in paths], batch_size=5, **asked)
    images = [path.read_bytes() for path in paths]
    handled = Answerer(_TorchEngine(str(folder)))({"inputs": images, "parameters": asked | {"mask": "none"}})
    count = 0
    for record, *others, explanation in zip(records, piped, handled, explanations, strict=True):
        parts = explanation.instances(min_area=2, most=3)
        for slot, label in enumerate(explanation["labels"]):
            expected = [
                (box_record(part["box"]), part["area"], pytest.approx(part["score"], abs=2e-6))
                for part in parts
                if part["label"] == label
            ]
            for found in (record["classes"], *others):
                given = found[slot]["instances"]
                assert [(part["box"], part["area"], part["score"]) for part in given] == expected
            count += len(expected)
    assert count > len(paths)


@pytest.mark.parametrize("mask", ["png", "rle"])
def test_the_handler(answers, mask):
    _, _, paths, explanations, folder = answers
    stage_endpoint(folder, with_graphs=False)
    spec = importlib.util.spec_from_file_location("handler_of_a_repository", folder / "handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler = module.EndpointHandler(str(folder))
    images = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    answer = handler({"inputs": images, "parameters": {"top_k": 2, "threshold": THRESHOLD, "mask": mask}})
    for found, explanation in zip(json.loads(json.dumps(answer)), explanations, strict=True):
        masks = [one.pop("mask") for one in found]
        assert found == records_of(explanation)
        for encoded, expected in zip(masks, explanation["masks"].numpy(), strict=True):
            if mask == "png":
                decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))) > 0
            else:
                values = np.repeat(np.arange(len(encoded["counts"])) % 2, encoded["counts"])
                decoded = values.reshape(encoded["size"], order="F") > 0
            assert np.array_equal(decoded, expected)


def test_self_training(answers):
    model, processor, paths, explanations, _ = answers
    images = [Image.open(path) for path in paths]
    labels = [int(explanation["label_ids"][0]) for explanation in explanations]
    for mask, explanation in zip(
        SelfTraining(model, processor, threshold=THRESHOLD)(images, labels), explanations, strict=True
    ):
        assert (mask is None) == (not explanation["masks"][0].any())
        if mask is not None:
            assert np.allclose(mask.probability, explanation["heatmaps"][0].numpy(), atol=1e-6)
