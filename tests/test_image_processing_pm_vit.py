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


MODES = {
    "squeezed": {"size": {"height": 64, "width": 48}},
    "shortest edge": {"size": {"shortest_edge": 60}},
    "both edges": {"size": {"shortest_edge": 60, "longest_edge": 100}},
    "longest edge": {"size": {"longest_edge": 100}},
    "height and width at most": {"size": {"max_height": 60, "max_width": 100}},
    "pixels": {"size": {"min_pixels": 4096, "max_pixels": 4096}},
    "crop": {"size": {"shortest_edge": 61}, "do_center_crop": True, "crop_size": {"height": 48, "width": 40}},
    "crop of both edges": {
        **{"size": {"shortest_edge": 61, "longest_edge": 90}, "do_center_crop": True},
        "crop_size": {"height": 48, "width": 40},
    },
    "crop that pads": {"size": {"longest_edge": 61}, "do_center_crop": True, "crop_size": {"height": 64, "width": 64}},
    "crop alone": {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 64, "width": 96}},
    "letterbox": {"size": {"longest_edge": 64}, "do_pad": True, "pad_size": {"height": 64, "width": 64}},
    "padded": {"size": {"height": 40, "width": 48}, "do_pad": True, "pad_size": {"height": 64, "width": 64}},
    "cropped and padded": {
        **{"size": {"shortest_edge": 61}, "do_center_crop": True, "crop_size": {"height": 43, "width": 50}},
        **{"do_pad": True, "pad_size": {"height": 64, "width": 64}},
    },
    "padded to the largest": {"size": {"shortest_edge": 60}, "do_pad": True},
}
SIZES = [(80, 60), (50, 93), (61, 61), (33, 127), (120, 31)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_place_in_the_image_is_the_same_place_in_its_map(processor_class, mode, size):
    """
    The image is a ramp, the map of a class is the brightness of the patches, so map and image have to be equal, but for
    half a patch at the edges, and where the model does not see the image. A shift of a pixel changes them by 1/127.
    """
    processor = geometry(processor_class, **MODES[mode])
    for axis in range(2):
        ramp = np.broadcast_to(
            np.expand_dims((np.arange(size[axis]) + 0.5) / size[axis], 1 - axis), size
        )  # 0 to 1 along the axis
        image = Image.fromarray((255 * ramp).round().astype(np.uint8))
        images = [image, Image.new("L", (100, 100))] if mode == "padded to the largest" else [image]
        pixels = processor(images, return_tensors="pt")["pixel_values"][:1, :1]
        patches = torch.nn.functional.avg_pool2d(pixels, 8)
        both = outputs(torch.cat((patches, torch.ones_like(patches)), 1), [[0, 1]])
        (found,) = processor.post_process_masks(both, [size])
        seen = found["masks"][1].numpy()
        rows, columns = (np.flatnonzero(seen.any(1 - i)) for i in range(2))
        assert seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # a rectangle
        placement = processor.placement(size, patches.shape[-2:])
        # Beyond the centre of the last patch the map is flat. A patch that is partly padding has another value.
        edge = [
            int(np.ceil((4 if "crop" not in mode else 12) * side / resized))
            for side, resized in zip(size, placement.resized, strict=True)
        ]
        inner = tuple(
            slice(places[0] + one, places[-1] + 1 - one) for places, one in zip((rows, columns), edge, strict=True)
        )
        difference = (found["heatmaps"][0].numpy() - ramp)[inner]
        if not difference.size and "crop" in mode:
            continue  # of a narrow image no whole patch is left
        assert abs(difference.mean()) < 0.25 / size[axis]  # a quarter of a pixel
        assert np.abs(difference).max() < 0.02
        if "crop" not in mode:
            assert seen.all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_painted_square_keeps_its_box(processor_class, mode, size):
    """As a mask in training and back."""
    square = np.zeros(size, bool)
    top, left, side = size[0] // 2 - 12, size[1] // 2 - 12, 24
    square[top : top + side, left : left + side] = True
    processor = geometry(processor_class, **MODES[mode])
    inputs = processor(np.zeros((*size, 3), np.uint8), square, return_tensors="pt")
    (found,) = processor.post_process_masks(outputs(inputs["mask_labels"], [[0]]), [size])
    placement = processor.placement(size, inputs["mask_labels"].shape[-2:])
    patch = max(8 * side / resized for side, resized in zip(size, placement.resized, strict=True))
    assert found["boxes"][0] == pytest.approx((left, top, left + side, top + side), abs=1 + patch / 2)


@pytest.mark.parametrize("mode", MODES)
def test_without_a_crop_the_sides_are_whole_patches_and_the_proportions_are_kept(processor_class, mode):
    processor = geometry(processor_class, **MODES[mode])
    for size in SIZES:
        inputs = processor(np.zeros((*size, 3), np.uint8), return_tensors="pt")["pixel_values"]
        if mode not in ("cropped and padded", "crop of both edges"):
            assert inputs.shape[-2] % 8 == inputs.shape[-1] % 8 == 0
        if mode in ("shortest edge", "both edges", "longest edge", "height and width at most", "pixels"):
            height, width = inputs.shape[-2:]
            assert abs(height - width * size[0] / size[1]) <= 4 + 4 * size[0] / size[1] + 1e-6
            given = MODES[mode]["size"]
            assert max(height, width) <= given.get("longest_edge", given.get("max_width", 10_000))
            assert height <= given.get("max_height", 10_000)


def test_a_strip_has_no_more_patches_than_other_images(processor_class):
    processor = geometry(processor_class, size={"min_pixels": 4096, "max_pixels": 4096})
    for size in [(2, 5000), (5000, 2)]:
        inputs = processor(np.zeros((*size, 3), np.uint8), return_tensors="pt")["pixel_values"]
        assert sorted(inputs.shape[-2:]) == [8, 512]


@pytest.mark.parametrize("mode", MODES)
def test_proportions_are_kept_on_request_and_after_saving(processor_class, mode, tmp_path):
    processor = geometry(processor_class, **MODES[mode])
    kept = processor.adapted(keep_aspect_ratio=True)
    kept.save_pretrained(tmp_path)
    again = processor_class.from_pretrained(tmp_path)
    for size in SIZES:
        image = np.zeros((*size, 3), np.uint8)
        shapes = [one(image, return_tensors="pt")["pixel_values"].shape[-2:] for one in (kept, again)]
        assert shapes[0] == shapes[1]
        height, width = shapes[0]
        assert height % 8 == width % 8 == 0
        assert abs(height - width * size[0] / size[1]) <= 4 + 4 * size[0] / size[1] + 1e-6
        assert again.placement(size, (height // 8, width // 8)) == kept.placement(size, (height // 8, width // 8))
    assert not kept.has_fixed_size
    assert processor.placement((80, 60), (8, 8)) == geometry(processor_class, **MODES[mode]).placement((80, 60), (8, 8))


def test_images_of_different_sizes_are_no_batch(processor_class):
    processor = geometry(processor_class, size={"shortest_edge": 40})
    images = [np.zeros((50, 90, 3), np.uint8), np.zeros((90, 50, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"different sizes, \(40, 72\) and \(72, 40\), so they cannot be one batch"):
        processor(images, return_tensors="pt")
    assert [one.shape for one in processor(images)["pixel_values"]] == [(3, 40, 72), (3, 72, 40)]
    padded = processor(images, do_pad=True, return_tensors="pt")["pixel_values"]
    assert padded.shape == (2, 3, 72, 72)


@pytest.mark.parametrize("map_size, expected", [("grid", (8, 6)), (20, (15, 20)), (300, (60, 80)), ((7, 5), (7, 5))])
def test_maps_of_another_size(processor_class, map_size, expected):
    processor = geometry(processor_class, size={"height": 64, "width": 48})
    maps = torch.rand(1, 2, 8, 6, generator=torch.Generator().manual_seed(0))
    given = outputs(maps, [[0, 1]])
    (found,) = processor.post_process_masks(given, [(60, 80)], 0.6, map_size)
    (whole,) = processor.post_process_masks(given, [(60, 80)], 0.6)
    assert found["heatmaps"].shape == found["masks"].shape == (2, *expected)
    assert torch.equal(found["masks"], found["heatmaps"] >= 0.6)
    assert found["boxes"] == whole["boxes"]
    if map_size == "grid":
        assert torch.allclose(found["heatmaps"], maps[0], atol=1e-5)


@pytest.mark.parametrize("map_size", ["patches", 0, -1, 1.5, True, (3,) * 3, (0, 3), {}])
def test_sizes_of_maps_that_do_not_exist_are_refused(map_size):
    with pytest.raises(ValueError, match="map_size must be"):
        found = outputs(torch.zeros(1, 1, 2, 2), [[0]])
        geometry(PMViTImageProcessor).post_process_masks(found, [(4, 4)], 0.5, map_size)


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
        (records,) = processor.post_process_records(whole[row], sizes[row : row + 1], names, threshold, masks=True)
        for slot in range(slots):
            (one,) = processor.post_process_explanations(whole[row, slot], sizes[row : row + 1], names, threshold)
            assert one["labels"] == [explanation["labels"][slot]] == [names[whole.explain_labels[row, slot].item()]]
            assert torch.equal(one["heatmaps"][0], explanation["heatmaps"][slot])
            mask, box = explanation["masks"][slot], explanation["boxes"][slot]
            assert np.array_equal(records[slot].pop("mask"), mask)
            assert records[slot] == {
                "label": explanation["labels"][slot],
                "score": whole.scores[row, slot].item(),
                "box": box and dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
                "area": pytest.approx(mask.float().mean().item(), abs=1e-6),
                "max_probability": explanation["heatmaps"][slot].max().item(),
            }
            assert (box is None) == (not mask.any())


def test_records_are_json_and_have_a_box_only_where_there_is_a_mask():
    maps = torch.tensor([[[[9.0]], [[-9.0]]]])
    (found,) = geometry(PMViTImageProcessor).post_process_records(
        Prediction(torch.tensor([[1, 0]]), torch.tensor([[0.75, 0.25]]), maps), [(2, 3)], {0: "a", 1: "b"}
    )
    found = json.loads(json.dumps(found))
    highest = [one.pop("max_probability") for one in found]
    assert highest == pytest.approx(torch.tensor([9.0, -9.0]).sigmoid().tolist())
    assert found == [
        {"label": "b", "score": 0.75, "box": {"xmin": 0, "ymin": 0, "xmax": 3, "ymax": 2}, "area": 1.0},
        {"label": "a", "score": 0.25, "box": None, "area": 0.0},
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
