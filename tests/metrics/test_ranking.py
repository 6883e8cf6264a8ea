import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.ranking import curves_in_order, depends_on_ties, image_seed, random_ranks, replaced

VALUES = hnp.arrays("int16", 20, elements=st.integers(-4, 4))


@given(VALUES, st.booleans())
def test_places_are_those_of_the_sorted_values_with_ties_in_any_order(values, descending):
    values = torch.as_tensor(values)
    places = random_ranks(values, [1, 2], 3, descending)
    assert torch.equal(places.sort(1).values, torch.arange(20).expand(3, 20))
    for place in places:
        ordered = values[place.argsort()]
        assert torch.equal(ordered, values.sort(descending=descending).values)
    assert torch.equal(places, random_ranks(torch.exp(values.double()) - 3, [1, 2], 3, descending))
    assert torch.equal(places[:2], random_ranks(values, [1, 2], 2, descending))


def test_equal_values_take_every_place_equally_often():
    places = random_ranks(torch.tensor([0.0, 7.0, 0.0, 0.0]), [0], 3000)
    assert (places[:, 1] == 0).all()
    assert places.double().mean(0).tolist() == pytest.approx([2, 0, 2, 2], abs=0.05)


@pytest.mark.parametrize(
    ("values", "descending", "expected"),
    [
        ([3.0, 1.0, 1.0, 0.0], True, [False, False, True, False, False]),
        ([3.0, 1.0, 1.0, 0.0], False, [False, False, True, False, False]),
        ([0.0, 0.0, 0.0, 1.0], True, [False, False, True, True, False]),
        ([0.0, 0.0, 0.0, 1.0], False, [False, True, True, False, False]),
        ([4.0, 3.0, 2.0, 1.0], True, [False] * 5),
    ],
)
def test_where_the_order_of_ties_matters(values, descending, expected):
    """After 0, 1, 2, 3 and 4 changed pixels: whether the next pixel has the value of the last one."""
    assert depends_on_ties(torch.tensor(values), torch.arange(5), descending).tolist() == expected


@pytest.fixture
def curves():
    """Of images of four pixels that are changed from 0 to 1; the score is the value of the second pixel."""
    passes = []

    def take(heatmaps, images=None, published=None, **options) -> np.ndarray:
        def score(changed, row):
            passes.append(len(changed))
            return changed[:, 0, 0, 1]

        heatmaps = torch.tensor(heatmaps).view(-1, 2, 2)
        images = torch.zeros(len(heatmaps), 1, 2, 2) if images is None else images
        change = replaced(torch.zeros_like(images), torch.ones_like(images))
        return curves_in_order(score, images, change, heatmaps, torch.arange(5), published, **options)

    take.passes = passes
    return take


def test_the_mean_over_the_orders_is_fair_to_equal_pixels(curves):
    """The first pixel changes first. Of the other three, row by row would always take the second one next."""
    found = curves([[1.0, 0.0, 0.0, 0.0]], tie_orders=1000)
    assert found.shape == (1, 1000, 5)
    assert found[0].mean(0).tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1], abs=0.05)
    found = curves([[1.0, 0.0, 0.0, 0.0]], tie_orders=1000, descending=False)
    assert found[0].mean(0).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1], abs=0.05)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_in_a_broken_map_all_pixels_are_equal(curves, value):
    found = curves([[value, 0.1, 0.2, 0.3]], tie_orders=1000)
    assert found[0].mean(0).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=0.05)


def test_only_points_that_depend_on_the_order_are_repeated(curves):
    assert np.array_equal(curves([[0.4, 0.3, 0.2, 0.1]]), [[[0, 0, 1, 1, 1]] * 5])
    assert sum(curves.passes) == 5
    curves.passes.clear()
    curves([[0.4, 0.2, 0.2, 0.1]])
    assert sum(curves.passes) == 5 + 4  # the point of two pixels in four more orders


def test_an_order_belongs_to_the_image_not_to_the_map_or_the_batch(curves):
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    whole = curves([[1.0, 0.0, 0.0, 0.0]] * 3, images, tie_orders=8)
    alone = curves([[5.0, 2.0, 2.0, 2.0]], images[1:2], tie_orders=8)
    assert np.array_equal(whole[1:2], alone)
    assert image_seed(images[0]) != image_seed(images[1])


def test_no_order_at_random_is_the_published_one(curves):
    def last(values, counts):  # the last pixels of the image first
        return torch.arange(4).flip(0) < counts[:, None]

    assert np.array_equal(curves([[1.0, 0.0, 0.0, 0.0]], published=last, tie_orders=0), [[[0, 0, 0, 1, 1]]])
    with pytest.raises(ValueError, match="at least 0"):
        curves([[1.0, 0.0, 0.0, 0.0]], tie_orders=-1)
