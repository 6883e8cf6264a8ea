"""The connected parts of masks, as SciPy finds them, and the instances that are made of them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from modeling_pm_vit import components_pm_vit as module
from modeling_pm_vit.components_pm_vit import connected_parts, largest_box
from modeling_pm_vit.inference import TorchPredictor, explain_files
from modeling_pm_vit.inference.arguments import ExplainArguments
from modeling_pm_vit.utils.errors import InputError


@settings(max_examples=150)
@given(
    mask=hnp.arrays(bool, st.tuples(st.integers(0, 9), st.integers(0, 9))),
    chunk=st.sampled_from([1, 7, 2**20]),
    min_area=st.integers(1, 4),
    most=st.sampled_from([None, 0, 1, 2]),
)
def test_the_parts_are_those_of_scipy(mask, chunk, min_area, most):
    ndimage = pytest.importorskip("scipy.ndimage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        found = connected_parts(mask, min_area, most)
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    parts = [expected == number for number in range(1, count + 1)]
    large = [part for part in parts if part.sum() >= min_area]
    assert found.areas == sorted((int(part.sum()) for part in large), reverse=True)[:most]
    assert set(np.unique(found.numbers)) <= set(range(len(found.areas) + 1))
    for number, (box, area) in enumerate(zip(found.boxes, found.areas, strict=True), start=1):
        own = found.numbers == number
        assert any(np.array_equal(own, part) for part in large)
        assert own.sum() == area and box == largest_box(own)
    if most is None and min_area == 1:
        assert np.array_equal(found.numbers > 0, mask)


@pytest.fixture
def two_objects(make_model, make_processor):
    """A model whose map is the redness of the patch, and an image of two red squares, the second paler."""
    model = make_model(num_hidden_layers=0, hidden_size=2, num_attention_heads=1, num_labels=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.vit.layernorm.weight.fill_(1)
        model.vit.embeddings.patch_embeddings.projection.weight[0, 0] = 1 / 64
        model.vit.embeddings.patch_embeddings.projection.bias[1] = 0.4
        model.classifier.weight[0, 0] = 2.0
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:16, :16, 0] = pixels[32:, 32:, 0] = 255
    return model, make_processor(image_mean=[0] * 3, image_std=[1] * 3), Image.fromarray(pixels)


def test_each_object_is_an_instance_in_every_answer(two_objects, tmp_path):
    model, processor, image = two_objects
    explanation = model.explain(image, [0], image_processor=processor)
    large, small = explanation.instances()
    assert large["area"] > 3 * small["area"] and explanation["boxes"][0] == large["box"]
    assert small["box"][:2] == (0, 0) and small["mask"].sum() == small["area"]
    assert np.array_equal(large["mask"] | small["mask"], explanation["masks"][0].numpy())
    heatmap = explanation["heatmaps"][0].numpy()
    assert small["score"] == pytest.approx(heatmap[small["mask"]].mean(), abs=1e-6)
    assert [one["box"] for one in explanation.instances(min_area=small["area"] + 1)] == [large["box"]]
    assert len(explanation.instances(most=1)) == 1
    image.save(tmp_path / "scene.png")
    predictor = TorchPredictor(model, processor, labels=[0])
    explain_files(predictor, [tmp_path / "scene.png"], tmp_path / "out", instances=5)
    (record,) = json.loads((tmp_path / "out" / "explanations.json").read_text("utf-8"))["images"]
    for part, expected in zip(record["classes"][0]["instances"], (large, small), strict=True):
        assert tuple(part["box"].values()) == expected["box"] and part["area"] == expected["area"]
        assert part["score"] == pytest.approx(expected["score"], abs=1e-5)
    assert "in 2 parts" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_instances_are_not_for_parquet():
    with pytest.raises(InputError, match="--instances are listed in the JSON of image files"):
        ExplainArguments(model="model", data="photos", instances=3, device="cpu")
