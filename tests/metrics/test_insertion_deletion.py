import warnings

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import trapezoid
from scipy.ndimage import correlate, gaussian_filter
from torch import nn

from modeling_pm_vit.metrics.insertion_deletion import INSERTION_DELETION, area_under, blur, insertion_deletion_curves
from modeling_pm_vit.metrics.ranking import image_seed, random_ranks


def sample(seed: int, n: int = 3, height: int = 8, width: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 3, height, width, generator=generator)
    maps = torch.randn(n, height, width, generator=generator)
    return images, maps, torch.randint(4, (n,), generator=generator)


def published_blur(images: np.ndarray) -> np.ndarray:
    """RISE's substrate: a kernel of 11 x 11 made by SciPy from a single 1, zeros beyond the border."""
    dirac = np.zeros((11, 11))
    dirac[5, 5] = 1
    kernel = gaussian_filter(dirac, 5)
    return np.stack([[correlate(c, kernel, mode="constant") for c in image] for image in images])


def literal_curves(classifier, images, maps, labels, places) -> dict[str, np.ndarray]:
    """
    Pixels are changed one by one; after every `width` of them, and before the first, the model is asked. `places`
    breaks ties: the place of each pixel among equal ones.
    """
    curves = {"insertion": [], "deletion": []}
    soft = torch.as_tensor(published_blur(images.double().numpy())).float()
    for image, blurred, heatmap, label, place in zip(images, soft, maps.numpy(), labels.tolist(), places, strict=True):
        height, width = heatmap.shape
        pixels = [(y, x) for y in range(height) for x in range(width)]
        place = place.view(height, width)
        pixels.sort(key=lambda p, h=heatmap, q=place: (-h[p], q[p]))
        for name, start, finish in (
            ("insertion", blurred.clone(), image),
            ("deletion", image.clone(), torch.zeros_like(image)),
        ):
            points = [classifier.logits(start[None]).softmax(1)[0, label].item()]
            for i, (y, x) in enumerate(pixels, 1):
                start[:, y, x] = finish[:, y, x]
                if i % width == 0:
                    points.append(classifier.logits(start[None]).softmax(1)[0, label].item())
            curves[name].append(points)
    return {name: np.array(values) for name, values in curves.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [None, 2])
def test_equals_the_literal_version(make_classifier, seed, levels):
    images, maps, labels = sample(seed)
    if levels:  # ties
        maps = (maps * levels).round()
    classifier = make_classifier(batch_size=4)
    ours = insertion_deletion_curves(classifier.logits, images, maps, labels, tie_orders=2)
    published = insertion_deletion_curves(classifier.logits, images, maps, labels, tie_orders=0)
    for order in range(2):
        places = [random_ranks(torch.zeros(64), image_seed(image), 2)[order] for image in images]
        expected = literal_curves(classifier, images, maps, labels, places)
        for name in expected:
            assert ours[name].shape == (3, 2, 9)
            assert ours[name][:, order] == pytest.approx(expected[name], abs=1e-6)
            if not levels:
                assert published[name][:, 0] == pytest.approx(expected[name], abs=1e-6)
    assert (ours["deletion"][:, 0] != ours["deletion"][:, 1]).any() == bool(levels)


def test_the_published_order_of_ties_is_that_of_argsort_from_its_end(make_classifier):
    images, maps, labels = sample(0)
    maps, classifier = maps.round(), make_classifier()
    ours = insertion_deletion_curves(classifier.logits, images, maps, labels, tie_orders=0)
    places = []
    for heatmap in maps:
        order = np.flip(np.argsort(heatmap.numpy().ravel()))
        places.append(torch.as_tensor(np.argsort(order)))
    expected = literal_curves(classifier, images, maps, labels, places)
    for name in expected:
        assert ours[name][:, 0] == pytest.approx(expected[name], abs=1e-6)


def test_ends_of_the_curves(make_classifier):
    images, maps, labels = sample(5)
    classifier = make_classifier()
    curves = {
        name: values[:, 0]
        for name, values in insertion_deletion_curves(classifier.logits, images, maps, labels).items()
    }

    def probability(inputs):
        return classifier.logits(inputs).softmax(1)[torch.arange(3), labels].numpy()

    assert curves["deletion"][:, 0] == pytest.approx(probability(images), abs=1e-6)
    assert curves["deletion"][:, -1] == pytest.approx(probability(torch.zeros_like(images)), abs=1e-6)
    assert curves["insertion"][:, 0] == pytest.approx(probability(blur(images)), abs=1e-6)
    assert curves["insertion"][:, -1] == pytest.approx(probability(images), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_deletion_equals_pixel_flipping_of_quantus_but_for_the_first_point(make_classifier, seed):
    images, maps, labels = sample(seed, 4, 12, 12)  # quantus asks that height * width be a multiple of the step
    classifier = make_classifier(12)

    class Logits(nn.Module):
        def forward(self, x):
            return classifier.model(pixel_values=x).logits

    flipping = quantus.PixelFlipping(
        features_in_step=3 * 12, perturb_baseline=0.0, normalise=False, abs=False, disable_warnings=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = flipping(
            model=Logits().eval(),
            x_batch=images.numpy(),
            y_batch=labels.numpy(),
            a_batch=maps[:, None].repeat(1, 3, 1, 1).numpy(),
            channel_first=True,
            softmax=True,
            device="cpu",
        )
    ours = insertion_deletion_curves(classifier.logits, images, maps, labels)["deletion"][:, 0]
    assert ours[:, 1:] == pytest.approx(np.array(theirs), abs=1e-6)


@pytest.mark.parametrize("size", [(224, 224), (7, 12), (1, 1)])
def test_blur_is_the_published_one(size):
    images = np.random.default_rng(0).normal(size=(1, 3, *size))
    assert blur(torch.as_tensor(images)).numpy() == pytest.approx(published_blur(images), abs=1e-9)


def test_blur_is_exact_where_the_model_is_rounded():
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        blurred = blur(images)
    assert torch.equal(blurred, blur(images))


def test_blur_keeps_a_plain_image_except_near_its_border():
    blurred = blur(torch.ones(1, 2, 16, 16))[0, 0]
    assert torch.allclose(blurred[5:-5, 5:-5], torch.ones(6, 6), atol=1e-6)
    assert blurred[0, 0] < 0.4


@pytest.mark.slow
def test_steps_are_as_many_pixels_as_the_image_is_wide():
    """At 224 x 224 the published 224 pixels a step, 225 points."""
    changed = []

    def classify(pixel_values):
        changed.extend((pixel_values == 0).all(1).sum((1, 2)).tolist())
        return torch.zeros(len(pixel_values), 2)

    images, maps, _ = sample(0, 1, 224, 224)
    curves = insertion_deletion_curves(classify, images, maps, torch.zeros(1, dtype=int))
    assert curves["deletion"].shape == curves["insertion"].shape == (1, 5, 225)
    assert changed[225:] == list(range(0, 224 * 224 + 1, 224))  # deletion comes second


@pytest.mark.parametrize("step_rows", [1, 3, 4, 8])
def test_coarser_steps_are_points_of_the_same_curve(step_rows, make_classifier):
    classifier, (images, maps, labels) = make_classifier(), sample(0, 3, 8, 8)
    fine, coarse = (insertion_deletion_curves(classifier.logits, images, maps, labels, step) for step in (1, step_rows))
    points = [*range(0, 8, step_rows), 8]
    for name, curves in coarse.items():
        np.testing.assert_allclose(curves, fine[name][..., points], atol=1e-6)


@pytest.mark.parametrize("step_rows", [0, 9])
def test_a_step_is_of_some_rows_of_the_image(step_rows, make_classifier):
    images, maps, labels = sample(0, 3, 8, 8)
    with pytest.raises(ValueError, match=rf"1 \.\.\. 8, got {step_rows}"):
        insertion_deletion_curves(make_classifier().logits, images, maps, labels, step_rows)


@pytest.mark.parametrize("shape", [(3, 8, 7), (1, 8, 8), (3, 1, 1)])
def test_maps_that_do_not_fit_the_images_are_refused(make_classifier, shape):
    images, _, labels = sample(0)
    with pytest.raises(ValueError, match="size"):
        insertion_deletion_curves(make_classifier().logits, images, torch.zeros(shape), labels)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_curves_depend_on_the_order_of_the_map_alone_and_not_on_batches(make_classifier, batch_size):
    images, maps, labels = sample(2)
    expected = insertion_deletion_curves(make_classifier().logits, images, maps, labels)
    ours = insertion_deletion_curves(make_classifier(batch_size=batch_size).logits, images, maps.exp() * 3 - 7, labels)
    alone = insertion_deletion_curves(make_classifier().logits, images[1:2], maps[1:2], labels[1:2])
    for name in expected:
        assert ours[name] == pytest.approx(expected[name], abs=1e-6)
        assert alone[name] == pytest.approx(expected[name][1:2], abs=1e-6)


@given(hnp.arrays(np.float64, (3, 6), elements=st.floats(0, 1)))
def test_area_is_the_trapezoid_over_0_to_1(curves):
    assert area_under(curves) == pytest.approx(trapezoid(curves, dx=1 / 5, axis=1), abs=1e-12)
    values = INSERTION_DELETION.compute(insertion=curves, deletion=1 - curves)
    assert values["insertion"] == pytest.approx(area_under(curves).mean(), abs=1e-12)
    assert values["insertion"] + values["deletion"] == pytest.approx(1)


def test_area_by_hand():
    assert area_under(np.array([1.0, 0.5, 0.0])) == 0.5
    assert area_under(np.array([1.0, 0.0, 0.0])) == 0.25


@pytest.mark.parametrize("shape", [(2, 1), (5,)])
def test_curves_without_an_area_are_refused(shape):
    with pytest.raises(ValueError, match="insertion"):
        INSERTION_DELETION.compute(insertion=np.zeros(shape), deletion=np.zeros(shape))
