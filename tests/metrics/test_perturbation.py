import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy.integrate import trapezoid

from modeling_pm_vit.metrics.perturbation import PERTURBATION, SHARES, area_under, perturbation_hits
from modeling_pm_vit.metrics.ranking import image_seed, random_ranks

MEAN, STD = (
    torch.tensor(values).view(3, 1, 1) for values in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
)  # of `make_classifier`


def sample(seed: int, n: int = 6, size: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images in 0 ... 1, maps, labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, size, size, generator=generator)
    maps = torch.randn(n, size, size, generator=generator)
    return images, maps, torch.randint(4, (n,), generator=generator)


def hits_of(classifier, images, maps, labels, positive, tie_orders=2) -> np.ndarray:
    return perturbation_hits(classifier.logits, images, maps, labels, positive, classifier.black, tie_orders)


def literal_hits(classifier, images, maps, labels, positive, places) -> np.ndarray:
    """
    Pixels of the photograph are set to 0 one by one; only then the image is normalised. `places` breaks ties: the
    place of each pixel among equal ones.
    """
    hits = np.zeros((len(images), 10))
    for row, (image, heatmap, label) in enumerate(zip(images, maps.numpy(), labels.tolist(), strict=True)):
        height, width = heatmap.shape
        pixels = [(y, x) for y in range(height) for x in range(width)]
        place = places[row].view(height, width)
        pixels.sort(key=lambda p, h=heatmap, q=place: (-h[p] if positive else h[p], q[p]))
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
    pixels = (images - MEAN) / STD
    hits = hits_of(classifier, pixels, maps, labels, positive)
    for order in range(2):
        places = [random_ranks(torch.zeros(64), image_seed(image), 2)[order] for image in pixels]
        expected = literal_hits(classifier, images, maps, labels, positive, places)
        assert np.array_equal(hits[:, order], expected)
    assert 0 < expected.mean() < 1
    assert (hits[:, 0] != hits[:, 1]).any() == bool(levels)
    if not levels:
        assert np.array_equal(hits_of(classifier, pixels, maps, labels, positive, tie_orders=0)[:, 0], expected)


@pytest.mark.parametrize("positive", [True, False])
def test_the_published_order_changes_so_many_of_the_tied_pixels(make_classifier, positive):
    images, maps, labels = sample(0, n=1)
    classifier = make_classifier()
    changed = []

    def classify(pixel_values):
        changed.extend(torch.isclose(pixel_values, classifier.black).all(1))
        return classifier.logits(pixel_values)

    perturbation_hits(classify, images, maps.round(), labels, positive, classifier.black, tie_orders=0)
    assert [int(black.sum()) for black in changed] == [int(64 * share) for share in SHARES]
    for black in changed[1:]:
        inside, outside = maps[0].round()[black], maps[0].round()[~black]
        assert inside.min() >= outside.max() if positive else inside.max() <= outside.min()


@pytest.mark.parametrize("size", [8, 14])
def test_k_pixels_are_black_in_all_channels(make_classifier, size):
    images, maps, labels = sample(0, n=1, size=size)
    classifier = make_classifier(size)
    seen = []
    classifier.model.register_forward_pre_hook(
        lambda _, __, kwargs: seen.extend(kwargs["pixel_values"]), with_kwargs=True
    )
    hits_of(classifier, (images - MEAN) / STD, maps, labels, positive=True)
    black = [torch.isclose(image, classifier.black).all(0) for image in seen]
    assert [int(b.sum()) for b in black] == [
        int(size * size * s) for s in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    ]
    for darkened in black[1:]:
        assert maps[0][darkened].min() > maps[0][~darkened].max()


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


NAMES = [value.name for value in PERTURBATION.values if not value.spread_of]


def test_values_are_means_over_the_orders_with_their_spread():
    hits = np.zeros((2, 3, 10))  # two images, three orders
    hits[:, 1:] = 1
    hits[0, 2] = 0
    values = PERTURBATION.compute(**dict.fromkeys(NAMES, hits))
    assert values["positive_target"] == pytest.approx(0.9 * 3 / 6)
    assert values["positive_target_spread"] == pytest.approx(np.std([0, 0.9, 0.45], ddof=1))
    assert np.isnan(PERTURBATION.compute(**dict.fromkeys(NAMES, hits[:, 0]))["positive_target_spread"])


@given(hnp.arrays(bool, (3, 10)))
def test_values_are_areas_under_mean_accuracies(hits):
    values = PERTURBATION.compute(**{name: hits ^ (i % 2 == 1) for i, name in enumerate(NAMES)})
    assert values["negative_predicted"] == pytest.approx(trapezoid(hits.mean(0), dx=0.1))
    assert values["negative_predicted"] + values["negative_target"] == pytest.approx(0.9)


@pytest.mark.parametrize("shape", [(2, 9), (10,)])
def test_curves_of_another_length_are_refused(shape):
    with pytest.raises(ValueError, match="negative_predicted"):
        PERTURBATION.compute(**dict.fromkeys(NAMES, np.zeros(shape)))
