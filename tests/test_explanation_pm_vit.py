"""Predictions, boxes, and the classes that a user asks for."""

import time
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from transformers import pipeline

from modeling_pm_vit import PMViTConfig
from modeling_pm_vit.explanation_pm_vit import Prediction, class_probabilities, largest_box
from modeling_pm_vit.inference import open_predictor
from modeling_pm_vit.modeling_pm_vit import PMViTImageClassifierOutput

# --- boxes ---


def boxes_of_largest_parts(mask):
    """By scipy: one box, or several for parts of equal size."""
    ndimage = pytest.importorskip("scipy.ndimage")
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(parts)]
    largest = areas.max(initial=0)
    return [box for box, area in zip(boxes, areas, strict=True) if area == largest] or [None]


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_box_encloses_the_largest_part(mask):
    assert largest_box(mask) in boxes_of_largest_parts(mask)


def comb(side):
    mask = np.zeros((side, side), bool)
    mask[:, ::2] = mask[-1] = True
    return mask


def spiral(side):
    mask, start = np.zeros((side, side), bool), 0
    for ring in range(0, side // 2, 2):
        far = side - 1 - ring
        mask[ring, start : far + 1] = mask[ring : far + 1, far] = mask[far, ring : far + 1] = True
        mask[ring + 2 : far + 1, ring] = True
        mask[ring + 2, ring : ring + 2] = True
        start = ring + 1
    return mask


SHAPES = {
    "full": lambda side: np.ones((side, side), bool),
    "checkerboard": lambda side: np.indices((side, side)).sum(0) % 2 == 0,
    "comb": comb,
    "comb upside down": lambda side: comb(side)[::-1],
    "comb on its side": lambda side: comb(side).T,
    "spiral": spiral,
    "islands": lambda side: np.random.default_rng(0).random((side, side)) < 0.3,
    "labyrinth": lambda side: np.random.default_rng(0).random((side, side)) < 0.41,  # near the percolation threshold
    "row": lambda side: np.ones((1, side * side), bool),
    "column": lambda side: np.ones((side * side, 1), bool),
    "dotted column": lambda side: (np.arange(side * side // 8) % 2 == 0)[:, None],
}


def seconds_of_box(mask):
    """The shortest of three times, of this process alone."""
    times = []
    for _ in range(3):
        start = time.process_time()
        largest_box(mask)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("shape", SHAPES)
def test_box_of_a_large_mask_in_linear_time(shape):
    small, large = SHAPES[shape](128), SHAPES[shape](512)
    assert largest_box(large) in boxes_of_largest_parts(large)
    # 16 times the pixels, and some of the processor's cache; in the square of the pixels it would be 256 times as long.
    assert seconds_of_box(large) < 80 * seconds_of_box(small) + 0.02


def test_box_takes_as_long_along_as_across():
    wide = np.ones((1, 2**18), bool)
    assert seconds_of_box(wide.T) < 10 * seconds_of_box(wide) + 0.02


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
