import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit.data.masks import MaskFormat
from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.scenes import Cutout, compose_scene, compose_scenes, cut_out

COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
GREY = (128, 128, 128)


def photograph(label: int) -> tuple[Image.Image, Image.Image]:
    """An object of the class's colour on grey, 30 x 20 at (5, 10), and its mask."""
    image, mask = Image.new("RGB", (50, 40), GREY), Image.new("1", (50, 40))
    image.paste(COLOURS[label], (5, 10, 35, 30))
    mask.paste(1, (5, 10, 35, 30))
    return image, mask


def objects(labels: list[int], masks: bool = True) -> DatasetRows:
    rows = [photograph(label) for label in labels]
    features = Features(
        {"image": ImageFeature(), "mask": ImageFeature(), "label": ClassLabel(names=["a", "b", "c", "d"])}
    )
    columns = {
        "image": [image for image, _ in rows],
        "mask": [mask if masks else None for _, mask in rows],
        "label": labels,
    }
    return DatasetRows(Dataset.from_dict(columns, features=features), "things (train)")


def backgrounds() -> DatasetRows:
    images = {"image": [Image.new("RGB", (90, 70), GREY)]}
    return DatasetRows(Dataset.from_dict(images, features=Features({"image": ImageFeature()})), "grey (train)")


def test_a_cutout_is_the_object_without_its_border():
    cutout = cut_out(*photograph(1), 1)
    assert cutout.image.size == cutout.mask.size == (28, 18)
    assert set(cutout.image.getdata()) == {COLOURS[1]}


@pytest.mark.parametrize(
    ("mask", "message"), [(Image.new("1", (50, 40)), "empty"), (Image.new("1", (40, 50)), "of its image's size")]
)
def test_a_bad_mask_is_named(mask, message):
    with pytest.raises(ValueError, match=message):
        cut_out(photograph(0)[0], mask, 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.sampled_from([32, 64, 97]), count=st.integers(1, 4))
def test_the_mask_lies_on_each_object(seed, size, count):
    cutouts = [cut_out(*photograph(label), label) for label in range(count)]
    scene, label, mask = compose_scene(np.random.default_rng(seed), cutouts, Image.new("RGB", (90, 70), GREY), size)
    ids, pixels = np.asarray(mask), np.asarray(scene).astype(int)
    assert scene.size == mask.size == (size, size)
    assert label == 0 and (ids == 1).any()
    assert set(np.unique(ids)) <= set(range(count + 1))
    for index in np.unique(ids[ids > 0]):  # objects' own colour inside, but for smoothed edges
        near = np.abs(pixels[ids == index] - COLOURS[index - 1]).sum(1) < 200
        assert near.mean() > 0.9
    assert (np.abs(pixels[ids == 0] - GREY).sum(1) < 250).mean() > 0.95


def test_the_same_seed_gives_the_same_scenes_and_fewer_are_their_beginning():
    first, again = (compose_scenes(objects([0, 1, 2, 3]), backgrounds(), count, 48) for count in (6, 3))
    for row, other in zip(first, again, strict=False):
        assert row["label"] == other["label"]
        for column in ("image", "mask"):
            np.testing.assert_array_equal(np.asarray(row[column]), np.asarray(other[column]))


def test_each_class_is_the_large_object_in_turn_and_scenes_have_several_classes():
    made = compose_scenes(objects([0, 0, 1, 2, 2, 3]), backgrounds(), 8, 64)
    assert made["label"] == [0, 1, 2, 3] * 2
    shown = [len(np.unique(np.asarray(row["mask"]))) - 1 for row in made]
    assert max(shown) > 1 and all(1 <= number <= 3 for number in shown)


@pytest.mark.parametrize(
    ("labels", "settings_", "message"),
    [
        ([0, 1], {"max_objects": 3}, "2 to 2 objects"),
        ([0, 1], {"max_objects": 1}, "2 to 2 objects"),
    ],
)
def test_too_few_classes_are_refused(labels, settings_, message):
    with pytest.raises(ValueError, match=message):
        compose_scenes(objects(labels), backgrounds(), 1, **settings_)


def test_classes_without_an_object_are_left_out():
    made = compose_scenes(objects([0, 1, 2, 3]), backgrounds(), 6, 48, empty_classes=["b", "d"], max_objects=2)
    assert set(made["label"]) == {0, 2}
    assert {int(i) for row in made for i in np.unique(np.asarray(row["mask"]))} == {0, 1, 3}


def test_masks_of_objects_are_read_as_in_training():
    rows = objects([0, 1])
    trimaps = [
        Image.fromarray(np.where(np.asarray(mask), 1, 2).astype(np.uint8)) for _, mask in map(photograph, (0, 1))
    ]
    data = Dataset.from_dict(
        {"image": [photograph(label)[0] for label in (0, 1)], "label": [0, 1], "mask": trimaps}, rows.features
    )
    named = DatasetRows(data, "things (train)")
    with pytest.raises(ValueError, match=r"things \(train\), row \d: a binary mask has one value besides 0, found 1"):
        compose_scenes(named, backgrounds(), 2, 48, max_objects=2)
    form = MaskFormat(foreground=((1, 1),))
    made, same = (compose_scenes(of, backgrounds(), 2, 48, 2, masks=m) for of, m in ((named, form), (rows, "binary")))
    assert [np.asarray(row["mask"]).tolist() for row in made] == [np.asarray(row["mask"]).tolist() for row in same]


def test_an_object_without_a_mask_is_named():
    with pytest.raises(ValueError, match=r"things \(train\), row 0: it has no mask"):
        compose_scenes(objects([0, 1], masks=False), backgrounds(), 1, max_objects=2)


def test_a_small_background_still_fills_the_scene():
    cutout = Cutout(Image.new("RGB", (4, 4), COLOURS[0]), Image.new("L", (4, 4), 255), 0)
    scene, _, _ = compose_scene(np.random.default_rng(0), [cutout], Image.new("RGB", (3, 5), GREY), 32)
    assert scene.size == (32, 32)
