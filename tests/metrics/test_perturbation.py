import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy.integrate import trapezoid

from modeling_pm_vit.metrics.perturbation import PERTURBATION, SHARES, area_under, perturbation_hits

MEAN, STD = (
    torch.tensor(values).view(3, 1, 1) for values in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
)  # of `make_classifier`


def sample(seed: int, n: int = 6, size: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images in 0 ... 1, maps, labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, size, size, generator=generator)
    maps = torch.randn(n, size, size, generator=generator)
    return images, maps, torch.randint(4, (n,), generator=generator)


def hits_of(classifier, images, maps, labels, positive) -> np.ndarray:
    return perturbation_hits(classifier.logits, images, maps, labels, positive, classifier.black)


def literal_hits(classifier, images, maps, labels, positive) -> np.ndarray:
    """Pixels of the photograph are set to 0 one by one; only then the image is normalised."""
    hits = np.zeros((len(images), 10))
    for row, (image, heatmap, label) in enumerate(zip(images, maps.numpy(), labels.tolist(), strict=True)):
        height, width = heatmap.shape
        pixels = [(y, x) for y in range(height) for x in range(width)]
        pixels.sort(key=lambda p: -heatmap[p] if positive else heatmap[p])  # stable
        for column, share in enumerate([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]):
            black = image.clone()
            for y, x in pixels[: int(height * width * share)]:
                black[:, y, x] = 0
            hits[row, column] = classifier.logits(((black - MEAN) / STD)[None]).argmax(1).item() == label
    return hits


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [None, 3])
def test_equals_the_literal_version(make_classifier, positive, seed, levels):
    images, maps, labels = sample(seed)
    if levels:  # ties
        maps = (maps * levels).round()
    classifier = make_classifier(batch_size=4, seed=seed)
    expected = literal_hits(classifier, images, maps, labels, positive)
    assert np.array_equal(hits_of(classifier, (images - MEAN) / STD, maps, labels, positive), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize("size", [8, 14])
def test_k_pixels_are_black_in_all_channels(make_classifier, size):
    images, maps, labels = sample(0, n=1, size=size)
    classifier = make_classifier(size)
    seen = []
    classifier.model.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["pixel_values"][0]), with_kwargs=True
    )
    hits_of(classifier, (images - MEAN) / STD, maps, labels, positive=True)
    black = [torch.isclose(image, classifier.black).all(0) for image in seen]
    assert [int(b.sum()) for b in black] == [
        int(size * size * s) for s in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    ]
    for darkened in black[1:]:
        assert maps[0][darkened].min() > maps[0][~darkened].max()


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_a_map_without_order_turns_black_from_above_in_either_test(make_classifier, value):
    images, _, labels = sample(1)
    classifier = make_classifier()
    maps = torch.full((6, 8, 8), value)
    rows = -torch.arange(64.0).view(1, 8, 8).expand(6, 8, 8)
    expected = hits_of(classifier, images, rows, labels, positive=True)
    for positive in (True, False):
        assert np.array_equal(hits_of(classifier, images, maps, labels, positive), expected)


@pytest.mark.parametrize("shape", [(6, 8, 7), (1, 8, 8), (6, 1, 1)])
def test_maps_that_do_not_fit_the_images_are_refused(make_classifier, shape):
    images, _, labels = sample(0)
    with pytest.raises(ValueError, match="size"):
        hits_of(make_classifier(), images, torch.zeros(shape), labels, positive=True)


def test_hits_depend_on_the_order_of_the_map_alone_and_not_on_the_batch(make_classifier):
    images, maps, labels = sample(2)
    classifier = make_classifier()
    for positive in (True, False):
        hits = hits_of(classifier, images, maps, labels, positive)
        assert np.array_equal(hits, hits_of(classifier, images, maps.exp() * 3 - 7, labels, positive))
        assert np.array_equal(hits, hits_of(classifier, images, -maps, labels, not positive))
        halves = [hits_of(classifier, images[p], maps[p], labels[p], positive) for p in torch.arange(6).split(4)]
        assert np.array_equal(hits, np.concatenate(halves))


def test_area_by_hand():
    assert area_under(np.ones(10)) == pytest.approx(0.9)
    assert area_under(np.eye(10)) == pytest.approx([0.05] + [0.1] * 8 + [0.05])
    assert area_under(1 - SHARES) == pytest.approx(0.9 - 0.81 / 2)


NAMES = [value.name for value in PERTURBATION.values]


@given(hnp.arrays(bool, (3, 10)))
def test_values_are_areas_under_mean_accuracies(hits):
    values = PERTURBATION.compute(**{name: hits ^ (i % 2 == 1) for i, name in enumerate(NAMES)})
    assert values["negative_predicted"] == pytest.approx(trapezoid(hits.mean(0), dx=0.1))
    assert values["negative_predicted"] + values["negative_target"] == pytest.approx(0.9)


@pytest.mark.parametrize("shape", [(2, 9), (10,)])
def test_curves_of_another_length_are_refused(shape):
    with pytest.raises(ValueError, match="negative_predicted"):
        PERTURBATION.compute(**dict.fromkeys(NAMES, np.zeros(shape)))
