"""The temperatures that are fitted, stored with a model, and used by it."""

import json

import numpy as np
import pytest
import torch

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.confidence_pm_vit import DISTANCE_SCORES
from modeling_pm_vit.configuration_pm_vit import UNCALIBRATED
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.evaluation.calibration import CalibrationArguments, calibrate
from modeling_pm_vit.evaluation.calibration.answers import Answers
from modeling_pm_vit.evaluation.calibration.temperatures import calibrate_classes, calibrate_maps
from modeling_pm_vit.training.build_model import build_model
from modeling_pm_vit.training.model_arguments import ModelArguments
from modeling_pm_vit.utils.errors import InputError

SIZE = 24


@pytest.fixture
def model(make_model, make_processor, tmp_path):
    """The folder of an untrained model that is sure of every class it names."""
    model = make_model(id2label=dict(enumerate(CLASSES)))
    with torch.no_grad():
        model.classifier.weight *= 200
    model.save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def options(model, **given):
    settings = {"device": "cpu", "max_samples": SIZE, "output_dir": model.parent / "report", "unknown_samples": 8}
    return CalibrationArguments(model=str(model), **(settings | given))


def test_what_is_fitted_is_stored_and_used(model, make_processor):
    calibrated = calibrate(options(model))
    found = calibrated.temperatures
    assert found["classes"].temperature > 2 and found["maps"].temperature > 2  # it was far too sure
    for calibration in found.values():
        assert calibration.values["calibration_error_after"] < calibration.values["calibration_error_before"]
        assert calibration.loss_after < calibration.loss_before
    loaded = PMViTForImageClassification.from_pretrained(model)
    assert loaded.config.class_temperature == pytest.approx(found["classes"].temperature, abs=1e-6)
    assert loaded.config.map_temperature == pytest.approx(found["maps"].temperature, abs=1e-6)
    image = synthetic_dataset("test", 1)[0]["image"]
    explanation = loaded.explain(image, range(len(CLASSES)), image_processor=make_processor(), map_size="grid")
    with torch.no_grad():
        outputs = loaded(make_processor()(image, return_tensors="pt").pixel_values, torch.zeros(1, dtype=int))
    expected = (outputs.logits / found["classes"].temperature).softmax(-1)[0].numpy()
    assert explanation["scores"].numpy() == pytest.approx(expected, abs=1e-5)
    lines = (model.parent / "report" / "report.md").read_text("utf-8")
    assert f"{found['maps'].temperature:.3f}" in lines and len(calibrated.tables) == 3
    assert explanation["confidence"] is not None
    assert loaded.config.confidence_score == calibrated.confidence.score
    assert loaded.config.confidence_threshold == calibrated.confidence.threshold
    assert 0.95 <= calibrated.confidence.coverage < 1  # the default
    values = json.loads((model.parent / "report" / "calibration.json").read_text("utf-8"))
    assert values["confidence"]["auroc"][calibrated.confidence.score].keys() == {"wrong answers", "noise"}
    assert {path.name for path in (model.parent / "report").iterdir()} == {
        *("index.html", "report.md", "calibration.json", "classes.png", "maps.png")
    }


def test_stored_temperatures_are_tested_on_other_images_and_forgotten_where_nothing_is_known(model):
    set_temperatures(model, 3.0, 2.0)
    before = (model / "config.json").read_text("utf-8")
    again = calibrate(options(model, split="test", report_only=True, reference_split="train", reference_samples=8))
    found = again.temperatures
    assert {"mahalanobis", "nearest_neighbours"} < again.confidence.auroc.keys()
    assert (model / "config.json").read_text("utf-8") == before
    assert (found["classes"].temperature, found["maps"].temperature) == (3.0, 2.0)
    assert (again.confidence.score, again.confidence.threshold) == ("energy", 7.5)
    found = calibrate(options(model, mask_column="none")).temperatures
    assert found.keys() == {"classes"}
    config = PMViTForImageClassification.from_pretrained(model).config
    assert (config.map_temperature, config.class_temperature) == (1.0, round(found["classes"].temperature, 6))


@pytest.mark.parametrize("score", DISTANCE_SCORES)
def test_what_a_distance_needs_is_stored_with_the_weights(model, make_processor, score):
    weights = (model / "model.safetensors").read_bytes()
    few = {"max_samples": 8, "unknown": ["none"], "mask_column": "none"}
    found = calibrate(options(model, score=score, reference_split="train", reference_samples=12, **few))
    loaded = PMViTForImageClassification.from_pretrained(model)
    assert loaded.config.confidence_references == len(loaded.distance.references) <= 12
    again = calibrate(options(model, report_only=True, **few))  # without the images of the training
    assert again.confidence.score == score and again.confidence.threshold == found.confidence.threshold
    assert again.confidence.refused == pytest.approx(found.confidence.refused)
    image = synthetic_dataset("test", 1)[0]["image"]
    assert loaded.explain(image, image_processor=make_processor())["confidence"] < 0
    calibrate(options(model, **few))
    assert PMViTForImageClassification.from_pretrained(model).distance is None
    assert len((model / "model.safetensors").read_bytes()) == len(weights)
    (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
    with pytest.raises(InputError, match=r"no model.safetensors, with which distances .* leave out --reference_split"):
        calibrate(options(model, reference_split="train"))
    with pytest.raises(InputError, match=f"--score {score}: name the split of the training"):
        options(model, score=score)


def test_images_of_classes_that_are_left_out_are_unknown(model):
    left_out = {"leave_out_classes": list(CLASSES[:1]), "mask_column": "none"}
    found = calibrate(options(model, unknown=["left_out"], **left_out))
    assert found.confidence.auroc["seen"].keys() == {"wrong answers", "left_out"}
    with pytest.raises(InputError, match="--unknown left_out: name the classes with --leave_out_classes"):
        options(model, unknown=["left_out"])


def test_training_forgets_a_calibration(model):
    set_temperatures(model, 3.0, 2.0)
    trained, _ = build_model(ModelArguments(model=str(model), image_size=32), CLASSES, 1.0)
    assert {name: getattr(trained.config, name) for name in UNCALIBRATED} == UNCALIBRATED


def set_temperatures(model, classes, maps):
    config = json.loads((model / "config.json").read_text("utf-8"))
    config |= {"class_temperature": classes, "map_temperature": maps}
    config |= {"confidence_score": "energy", "confidence_threshold": 7.5}
    (model / "config.json").write_text(json.dumps(config), "utf-8")


def test_a_model_without_a_folder_is_only_reported_on(tmp_path):
    with pytest.raises(InputError, match=r"somebody/model has no config.json .* or --report_only"):
        calibrate(CalibrationArguments(model="somebody/model", device="cpu", output_dir=tmp_path))


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_that_are_right_stay_as_they_are(seed):
    """And the values of the report are of images that a temperature was not fitted on."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((4000, 3))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    map_logits = 2 * rng.standard_normal((4000, 2, 2))
    coverage = (rng.random(map_logits.shape) < 1 / (1 + np.exp(-map_logits))).astype(float)
    coverage[:1000] = np.nan
    none = np.zeros(4000)
    answers = Answers(
        **{"labels": labels, "logits": logits, "map_logits": map_logits, "coverage": coverage},
        **{"top_map_logits": none, "features": none[:, None]},
    )
    for found, images in ((calibrate_classes(answers), 4000), (calibrate_maps(answers), 3000)):
        assert found.images == images
        assert found.temperature == pytest.approx(1, abs=0.06)
        assert found.values["calibration_error_after"] < 0.03
    assert calibrate_maps(answers[:1000]) is None
    few = calibrate_classes(answers[:6])
    assert few.loss_after > few.loss_before - 1 and len(few.after) == 6
