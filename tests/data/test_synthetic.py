import numpy as np
import pytest

from modeling_pm_vit.data import synthetic
from modeling_pm_vit.data.synthetic import CLASSES, draw_scene, synthetic_dataset


def test_a_small_set_is_the_beginning_of_a_larger_one_that_several_processes_draw(monkeypatch):
    small = synthetic_dataset(size=4)
    monkeypatch.setattr(synthetic, "_PART", 3)
    large = synthetic_dataset(size=9)
    assert len(large) == 9
    for i in range(4):
        assert np.array_equal(small[i]["image"], large[i]["image"])
        assert small[i]["label"] == large[i]["label"]


def test_splits_and_seeds_differ():
    images = [
        np.asarray(synthetic_dataset(split, 1, seed=seed)[0]["image"])
        for split, seed in (("train", 0), ("validation", 0), ("test", 0), ("train", 1))
    ]
    for i in range(4):
        for j in range(i):
            assert not np.array_equal(images[i], images[j])


@pytest.mark.parametrize(("fraction", "masks"), [(0.0, 0), (0.04, 2), (0.5, 25), (1.0, 50)])
def test_the_requested_fraction_of_images_has_a_mask(fraction, masks):
    dataset = synthetic_dataset(size=50, mask_fraction=fraction)
    assert sum(mask is not None for mask in dataset["mask"]) == masks


@pytest.mark.parametrize("image_size", [48, 64, 96])
def test_the_label_is_the_largest_object_and_lies_in_the_mask(image_size):
    several = 0
    for index in range(40):
        image, label, mask = draw_scene(np.random.default_rng(index), image_size)
        assert image.size == mask.size == (image_size, image_size)
        areas = np.bincount(np.asarray(mask).ravel(), minlength=len(CLASSES) + 1)[1:]
        # A moon or a ring is thin: a small object of another class may cover more than half of it, not more.
        assert areas[label] > 0.5 * areas.max() > 0
        several += (areas > 0).sum() > 1
    assert several > 10


def test_the_mask_lies_on_the_object_not_beside_it():
    """The mean colour inside the masks of red classes is redder than right outside the object's box."""
    inside, outside = [], []
    for index in range(60):
        image, label, mask = draw_scene(np.random.default_rng(index), 64)
        if CLASSES[label] == "cross":
            redness = np.asarray(image, float)[..., 0] - np.asarray(image, float)[..., 1:].mean(-1)
            inside.append(redness[np.asarray(mask) == label + 1].min())
            outside.append(np.median(redness[np.asarray(mask) == 0]))
    assert np.median(inside) > 50 > np.median(outside)


@pytest.mark.parametrize("wrong", [{"split": "dev"}, {"mask_fraction": 1.5}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        synthetic_dataset(**wrong)
