import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.pseudo_masks.self_training import SelfTraining
from tests.backbones import every_family, make_family


def photographs() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((40, 50), (32, 32))]
    return [Image.fromarray(image) for image in images]


@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_masks_and_scores_are_those_of_the_images_class(make_model, make_processor, threshold):
    model, processor = make_model(), make_processor()
    found = SelfTraining(model, processor, threshold=threshold)(photographs(), [3, 1])
    for image, label, mask in zip(photographs(), (3, 1), found, strict=True):
        explained = model.explain(image, [label], image_processor=processor, threshold=threshold)
        inside = explained["masks"][0]
        if not inside.any():
            assert mask is None
            continue
        assert np.array_equal(mask.mask, inside.numpy())
        expected = explained["heatmaps"][0][inside].mean() * explained["scores"][0]
        assert mask.score == pytest.approx(float(expected), rel=1e-5)


@every_family
def test_masks_are_made_by_every_backbone(family, make_processor):
    model = make_family(family)
    for mask in SelfTraining(model, make_processor(), threshold=0.01)(photographs(), [3, 1]):
        assert mask is not None and mask.mask.shape == mask.probability.shape and 0 < mask.score <= 1


def test_the_classes_of_a_dataset_may_have_another_order(make_model, make_processor):
    model, processor = make_model(), make_processor()
    plain = SelfTraining(model, processor, threshold=0.1)(photographs(), [3, 1])
    mapped = SelfTraining(model, processor, [4, 3, 1], threshold=0.1)(photographs(), [1, 2])
    for a, b in zip(plain, mapped, strict=True):
        assert np.array_equal(a.probability, b.probability)


def test_a_class_with_an_empty_map_has_no_mask(make_model, make_processor):
    model = make_model()
    with torch.no_grad():
        model.classifier.bias[2] = -30
    seen, unseen = SelfTraining(model, make_processor(), threshold=0.1)(photographs(), [0, 2])
    assert seen is not None
    assert unseen is None
