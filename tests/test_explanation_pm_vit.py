"""Predictions, and the classes and thresholds that a user asks for."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import pipeline

from modeling_pm_vit import PMViTConfig
from modeling_pm_vit.explanation_pm_vit import Prediction, class_probabilities, map_probabilities
from modeling_pm_vit.inference import open_predictor
from modeling_pm_vit.modeling_pm_vit import PMViTImageClassifierOutput

# --- scores ---


@pytest.mark.parametrize(
    ("problem_type", "num_labels", "expected"),
    [
        ("single_label_classification", 2, [0.25, 0.75]),
        (None, 2, [0.25, 0.75]),
        ("multi_label_classification", 2, [0.5, 0.75]),
        (None, 1, [0.5]),
    ],
)
def test_scores_are_a_softmax_or_a_sigmoid_per_class(problem_type, num_labels, expected):
    config = PMViTConfig(num_labels=num_labels, problem_type=problem_type)
    found = Prediction.from_outputs(
        PMViTImageClassifierOutput(
            logits=torch.tensor([[0.0, log(3)][:num_labels]]),
            mask_logits=torch.zeros(1, num_labels + 1, 1, 1),
            explain_labels=torch.tensor([[*range(num_labels), -100]]),
        ),
        config,
    )
    assert found.scores[0, :-1].tolist() == pytest.approx(expected)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.integers(0, 2**16))
def test_temperatures_divide_logits_once(class_temperature, map_temperature, seed):
    config = PMViTConfig(num_labels=3, class_temperature=class_temperature, map_temperature=map_temperature)
    generator = torch.Generator().manual_seed(seed)
    logits, mask_logits = torch.randn(2, 3, generator=generator), torch.randn(2, 3, 2, 2, generator=generator)
    outputs = PMViTImageClassifierOutput(
        logits=logits, mask_logits=mask_logits, explain_labels=torch.arange(3).expand(2, 3)
    )
    found = Prediction.from_outputs(outputs, config)
    assert found.scores.numpy() == pytest.approx((logits / class_temperature).softmax(-1).numpy(), abs=1e-6)
    expected = (mask_logits / map_temperature).sigmoid().numpy()
    assert found.mask_logits.sigmoid().numpy() == pytest.approx(expected, abs=1e-6)
    assert map_probabilities(mask_logits, config).numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("classes", "expected"), [(2, [[2, 0], [1, 2]]), ([1, 0], [[1, 0], [1, 0]])])
def test_classes_are_picked_with_what_is_known_of_the_image(classes, expected):
    scores, mask_logits = torch.tensor([[0.3, 0.1, 0.6], [0.1, 0.7, 0.2]]), torch.randn(2, 3, 2, 2)
    confidence, doubt = torch.tensor([0.6, 0.7]), torch.tensor([1, 0])
    found = Prediction(torch.arange(3).expand(2, 3), scores, mask_logits, confidence, doubt).of_classes(classes)
    assert found.explain_labels.tolist() == expected
    for image, row in enumerate(expected):
        assert torch.equal(found.scores[image], scores[image, row])
        assert torch.equal(found.mask_logits[image], mask_logits[image, row])
    assert found.confidence is confidence and found.doubt is doubt


def test_the_outputs_of_a_regression_are_no_scores():
    with pytest.raises(ValueError, match="'regression', whose outputs are no probabilities of classes; set"):
        class_probabilities(torch.zeros(1, 1), PMViTConfig(num_labels=1, problem_type="regression"))


# --- the classes that a user asks for ---


@pytest.fixture(scope="module")
def ways(make_model, make_processor, tmp_path_factory):
    """The names of the explained classes, by every way that takes `labels` and `top_k`."""
    folder = tmp_path_factory.mktemp("model")
    model = make_model(id2label=dict(enumerate(["ant", "bee", "cat", "dog", "elk"])))
    model.save_pretrained(folder)
    processor = make_processor()
    processor.save_pretrained(folder)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    explain = pipeline("image-explanation", model=model, image_processor=processor)

    def predicted(**chosen):
        predictor = open_predictor(str(folder), **chosen)
        found = predictor(processor(image, return_tensors="pt").pixel_values)
        return [model.config.id2label[label] for label in found.explain_labels[0].tolist()]

    return {
        "explain": lambda **chosen: model.explain(image, image_processor=processor, **chosen)["labels"],
        "pipeline": lambda **chosen: [found["label"] for found in explain(image, **chosen)],
        "predictor": predicted,
    }


WAYS = pytest.mark.parametrize("way", ["explain", "pipeline", "predictor"])


@WAYS
def test_classes_are_chosen_by_name_by_index_or_by_number(ways, way):
    explained = ways[way]
    assert explained(labels="cat") == ["cat"]
    assert explained(labels=["elk", 0, "bee"]) == explained(labels=np.array([4, 0, 1])) == ["elk", "ant", "bee"]
    everything = explained(top_k=5)
    assert sorted(everything) == ["ant", "bee", "cat", "dog", "elk"]
    assert explained() == explained(top_k=1) == everything[:1]
    assert explained(top_k=np.int64(3)) == everything[:3]
    assert explained(top_k=99) == everything  # as in the pipelines of transformers


@WAYS
@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"labels": "fox"}, r"no class 'fox'; its 5 classes begin with: ant, bee, cat, dog, elk"),
        ({"labels": ["ant", "Bee"]}, "no class 'Bee'"),
        ({"labels": [5]}, r"an index in 0 ... 4, got 5"),
        ({"labels": [-1]}, r"an index in 0 ... 4, got -1"),
        ({"labels": [True]}, "got True"),
        ({"labels": [1.0]}, r"got 1\.0"),
        ({"labels": []}, "at least one class"),
        ({"labels": 2}, r"for the 2 most probable classes give top_k=2, for the class with this index labels=\[2\]"),
        ({"labels": ["ant"], "top_k": 1}, "labels or top_k, not both"),
        ({"top_k": 0}, "at least 1, got 0"),
        ({"top_k": -3}, "at least 1, got -3"),
        ({"top_k": 1.5}, r"an integer of at least 1, got 1\.5"),
        ({"top_k": "3"}, "got '3'"),
        ({"top_k": True}, "got True"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_classes_that_do_not_exist_are_refused(ways, way, chosen, message):
    with pytest.raises(ValueError, match=message):
        ways[way](**chosen)


@pytest.mark.parametrize("way", ["explain", "pipeline"])
@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf"), "0.5", True])
def test_thresholds_that_are_no_probability_are_refused(ways, way, threshold):
    with pytest.raises(ValueError, match=r"threshold must be a probability, a number in 0 \.\.\. 1, got "):
        ways[way](threshold=threshold)
