"""The image processor: reading images, inputs of the model, maps, masks and boxes."""

import importlib
import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit import image_processing_pm_vit as module
from modeling_pm_vit.explanation_pm_vit import Prediction
from modeling_pm_vit.modeling_pm_vit import PMViTImageClassifierOutput


@pytest.fixture(scope="module")
def pillow_processor():
    """The class without torchvision; its base class is chosen at import."""
    spec = importlib.util.spec_from_file_location("modeling_pm_vit.without_torchvision", module.__file__)
    without = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, without)
        with pytest.MonkeyPatch.context() as import_only:
            import_only.setattr("transformers.utils.is_torchvision_available", lambda: False)
            spec.loader.exec_module(without)
        assert without.PMViTImageProcessor.__mro__[1].__name__ == "PilBackend"
        yield without.PMViTImageProcessor


@pytest.fixture(params=["torchvision", "pillow"])
def processor_class(request, pillow_processor):
    return PMViTImageProcessor if request.param == "torchvision" else pillow_processor


# --- images and masks to inputs ---


def geometry(processor_class, **more):
    plain = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3, "patch_size": 8}
    return processor_class(**({"size": {"height": 32, "width": 48}} | plain | more))


GEOMETRIES = [
    {},
    {"size": {"height": 64, "width": 16}},
    {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
    {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 64, "width": 96}},
]


@pytest.mark.parametrize("settings", GEOMETRIES)
@pytest.mark.parametrize("size", [(80, 60), (50, 90)])
def test_image_and_mask_are_transformed_equally(processor_class, settings, size):
    """The red channel of the image is the mask."""
    mask = np.zeros(size, bool)
    mask[10:35, 20:48] = True
    image = np.zeros((*size, 3), np.uint8)
    image[mask, 0] = 255
    inputs = geometry(processor_class, **settings)(Image.fromarray(image), mask, return_tensors="pt")
    seen = torch.nn.functional.avg_pool2d(inputs["pixel_values"][:, :1], 8)
    assert inputs["mask_labels"].shape == seen.shape
    assert torch.allclose(inputs["mask_labels"], seen, atol=0.005)
    assert inputs["mask_labels"].max() > 0.5


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(bool, (32, 48)))
def test_fractions_are_exact_without_resizing(mask):
    inputs = geometry(PMViTImageProcessor)(np.zeros((32, 48, 3), np.uint8), mask, return_tensors="pt")
    expected = mask.reshape(4, 8, 6, 8).mean((1, 3))
    assert np.abs(inputs["mask_labels"][0, 0].numpy() - expected).max() < 1e-6


def test_results_with_and_without_torchvision_are_close(pillow_processor):
    rng = np.random.default_rng(0)
    photograph = Image.fromarray(rng.integers(0, 256, (10, 14, 3), np.uint8)).resize((140, 100), Image.BICUBIC)
    mask = np.asarray(photograph)[..., 0] > 128
    with_, without = (kind()(photograph, mask, return_tensors="pt") for kind in (PMViTImageProcessor, pillow_processor))
    # One step of 8 bits, in units of the standard deviation, is 0.0175.
    assert (with_["pixel_values"] - without["pixel_values"]).abs().max() < 0.02
    assert (with_["mask_labels"] - without["mask_labels"]).abs().max() < 0.01


def test_batch_of_images_with_no_one_or_several_masks(processor_class):
    a, b = np.zeros((2, 20, 30), np.uint8)
    a[:10], b[10:] = 255, 1
    ids = np.full((20, 30), 7)
    ids[:, :15] = 3
    inputs = geometry(processor_class)(
        [Image.new("RGB", (30, 20))] * 4, [a, None, [a, b], ids], [[2], [4], [0, 1], [3, 6]], return_tensors="pt"
    )
    masks = inputs["mask_labels"]
    assert masks.shape == (4, 2, 4, 6)
    assert inputs["explain_labels"].tolist() == [[2, -100], [4, -100], [0, 1], [3, 6]]
    top, left = torch.zeros(4, 6), torch.zeros(4, 6)
    top[:2], left[:, :3] = 1, 1
    assert torch.allclose(masks[0, 0], top, atol=0.1)
    assert torch.allclose(masks[2], torch.stack([top, 1 - top]), atol=0.1)
    assert torch.allclose(masks[3], torch.stack([left, torch.zeros(4, 6)]), atol=0.1)
    assert (masks[0, 1] == -100).all()
    assert (masks[1] == -100).all()


@pytest.mark.parametrize(
    ("maps", "labels", "message"),
    [
        (np.zeros((30, 20)), None, r"\(20, 30\), got \(30, 20\)"),
        (np.full((20, 30), 7), None, r"this one contains \[7\].*explain_labels"),
        ([np.zeros((20, 30))] * 2, [1], "2 binary maps were given with 1"),
    ],
)
def test_wrong_masks_are_refused(processor_class, maps, labels, message):
    with pytest.raises(ValueError, match=message):
        geometry(processor_class)(Image.new("RGB", (30, 20)), maps, labels)


def test_size_that_the_patch_size_does_not_divide_is_refused(processor_class):
    with pytest.raises(ValueError, match="patch size 8"):
        geometry(processor_class, size={"height": 30, "width": 32})(Image.new("RGB", (9, 9)), np.zeros((9, 9)))


def test_settings_survive_saving(processor_class, tmp_path):
    geometry(processor_class, patch_size=(4, 16)).save_pretrained(tmp_path)
    again = processor_class.from_pretrained(tmp_path)
    inputs = again(Image.new("RGB", (9, 9)), np.zeros((9, 9)), return_tensors="pt")
    assert inputs["mask_labels"].shape == (1, 1, 8, 3)


# --- outputs to maps, masks and boxes ---


def outputs(maps: torch.Tensor, classes: list[list[int]]) -> PMViTImageClassifierOutput:
    """Outputs of a model with these probabilities."""
    return PMViTImageClassifierOutput(mask_logits=torch.logit(maps, eps=1e-6), explain_labels=torch.tensor(classes))


def test_maps_masks_and_boxes_have_the_size_of_each_image(processor_class):
    maps = torch.zeros(2, 2, 4, 6)
    maps[0, 0, 1, 2] = maps[1, 0, 3, 5] = 1
    found = geometry(processor_class).post_process_masks(outputs(maps, [[3, 1], [4, -100]]), [(80, 60), (40, 120)])
    assert [f["label_ids"].tolist() for f in found] == [[3, 1], [4]]
    assert [tuple(f["heatmaps"].shape) for f in found] == [(2, 80, 60), (1, 40, 120)]
    assert found[0]["boxes"][0] == pytest.approx([20, 20, 30, 40], abs=1)  # row 1 of 4, column 2 of 6
    assert found[1]["boxes"][0] == pytest.approx([100, 30, 120, 40], abs=1)
    assert found[0]["boxes"][1] is None
    assert found[0]["heatmaps"][0].flatten().argmax() in (29 * 60 + 24, 29 * 60 + 25, 30 * 60 + 24, 30 * 60 + 25)
    assert not found[0]["masks"][1].any()


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_mask_is_where_the_probability_reaches_the_threshold(threshold):
    maps = torch.rand(1, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    (found,) = geometry(PMViTImageProcessor).post_process_masks(outputs(maps, [[0]]), [(33, 47)], threshold)
    assert torch.equal(found["masks"], found["heatmaps"] >= threshold)
    assert found["heatmaps"].min() >= 0
    assert found["heatmaps"].max() <= 1


@pytest.mark.parametrize("settings", GEOMETRIES[2:])
@pytest.mark.parametrize("size", [(80, 60), (50, 90)])
def test_maps_of_a_crop_are_put_back_in_place(processor_class, settings, size):
    """A mask, converted to inputs and back, is at the same place; the area outside of the crop is empty."""
    mask = np.zeros(size, bool)
    mask[20:38, 24:50] = True
    processor = geometry(processor_class, **settings)
    inputs = processor(np.zeros((*size, 3), np.uint8), mask, return_tensors="pt")
    (found,) = processor.post_process_masks(outputs(inputs["mask_labels"], [[0]]), [size])
    box = found["boxes"][0]
    assert box == pytest.approx([24, 20, 50, 38], abs=6)
    everything = torch.ones_like(inputs["mask_labels"])
    (found,) = processor.post_process_masks(outputs(everything, [[0]]), [size])
    resized = "shortest_edge" in settings.get("size", {})
    expected = (min(size) * 32 / 40) ** 2 if resized else min(size[0], 64) * min(size[1], 96)
    assert found["masks"].sum().item() == pytest.approx(expected, rel=0.07)


def test_outputs_without_masks_and_wrong_sizes_are_refused():
    processor = geometry(PMViTImageProcessor)
    with pytest.raises(ValueError, match="explain_labels of at least 1"):
        processor.post_process_masks(PMViTImageClassifierOutput(logits=torch.zeros(1, 2)), [(4, 4)])
    with pytest.raises(ValueError, match="expected 1 target sizes, got 2"):
        processor.post_process_masks(outputs(torch.zeros(1, 1, 2, 2), [[0]]), [(4, 4), (4, 4)])


# --- predictions to explanations ---


def prediction(batch: int, slots: int) -> Prediction:
    generator = torch.Generator().manual_seed(0)
    ids = torch.stack([torch.randperm(slots + 1, generator=generator)[:slots] for _ in range(batch)])
    scores = torch.rand(batch, slots, generator=generator)
    return Prediction(ids, scores, 4 * torch.randn(batch, slots, 4, 6, generator=generator))


@given(rows=st.integers(1, 3), slots=st.integers(1, 3), threshold=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_one_map_at_a_time_gives_what_all_at_once_give(rows, slots, threshold):
    processor, whole = geometry(PMViTImageProcessor), prediction(rows, slots)
    names, sizes = {label: f"class {label}" for label in range(slots + 1)}, [(20, 30), (33, 17), (8, 8)][:rows]
    together = processor.post_process_explanations(whole, sizes, names, threshold)
    for row, explanation in enumerate(together):
        (alone,) = processor.post_process_explanations(whole[row], sizes[row : row + 1], names, threshold)
        assert all(torch.equal(alone[key], explanation[key]) for key in ("label_ids", "scores"))
        assert alone["boxes"] == explanation["boxes"]
        assert torch.allclose(alone["heatmaps"], explanation["heatmaps"], atol=1e-6)
        records = processor.to_records(explanation)
        for slot in range(slots):
            (one,) = processor.post_process_explanations(whole[row, slot], sizes[row : row + 1], names, threshold)
            assert one["labels"] == [explanation["labels"][slot]] == [names[whole.explain_labels[row, slot].item()]]
            assert torch.allclose(one["heatmaps"][0], explanation["heatmaps"][slot], atol=1e-6)
            assert processor.to_records(one) == [records[slot]]
            assert records[slot]["score"] == whole.scores[row, slot].item()
            assert (records[slot]["box"] is None) == (not explanation["masks"][slot].any())


def test_records_are_json_and_have_a_box_only_where_there_is_a_mask():
    maps = torch.tensor([[[[9.0]], [[-9.0]]]])
    found = geometry(PMViTImageProcessor).post_process_explanations(
        Prediction(torch.tensor([[1, 0]]), torch.tensor([[0.75, 0.25]]), maps), [(2, 3)], {0: "a", 1: "b"}
    )
    assert json.loads(json.dumps(PMViTImageProcessor.to_records(found[0]))) == [
        {"label": "b", "score": 0.75, "box": {"xmin": 0, "ymin": 0, "xmax": 3, "ymax": 2}},
        {"label": "a", "score": 0.25, "box": None},
    ]


def test_empty_slots_have_no_explanation():
    maps = torch.zeros(2, 2, 1, 1)
    found = geometry(PMViTImageProcessor).post_process_explanations(
        Prediction(torch.tensor([[1, -100], [-100, -100]]), torch.tensor([[0.5, 0.1], [0.2, 0.3]]), maps),
        [(2, 3), (3, 2)],
        {0: "a", 1: "b"},
    )
    assert [explanation["labels"] for explanation in found] == [["b"], []]
    assert [explanation["scores"].tolist() for explanation in found] == [[0.5], []]
    assert [tuple(explanation["heatmaps"].shape) for explanation in found] == [(1, 2, 3), (0, 3, 2)]
