import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.metrics.ranking import ranks


def test_black_is_what_a_black_pixel_becomes(make_classifier):
    classifier = make_classifier()
    assert classifier.black.shape == (3, 1, 1)
    assert classifier.black.flatten().tolist() == pytest.approx([-0.5 / 0.2, -0.4 / 0.3, -0.3 / 0.4])


def test_logits_do_not_depend_on_the_batches(make_classifier):
    images = torch.randn(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    classifier = make_classifier(batch_size=3)
    logits = classifier.logits(images)
    assert classifier.model.batches == [3, 3, 1]
    assert logits.dtype == torch.float32
    assert not logits.requires_grad
    assert torch.allclose(logits, make_classifier(batch_size=7).logits(images), atol=1e-6)
    assert classifier.seconds > 0


def test_the_model_is_asked_in_its_own_precision(make_classifier):
    classifier = make_classifier()
    half = Classifier(classifier.model.to(torch.bfloat16), (0.5,) * 3, (0.5,) * 3)
    assert half.logits(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


def test_the_model_is_in_evaluation_mode(make_classifier):
    model = make_classifier().model.train()
    assert not Classifier(model, (0.5,) * 3, (0.5,) * 3).model.training


def test_ranks_by_hand():
    maps = torch.tensor([[[0.0, 5.0, 5.0], [-1.0, 7.0, 0.0]]])
    assert ranks(maps).tolist() == [[[3, 1, 2], [5, 0, 4]]]
    assert ranks(maps, descending=False).tolist() == [[[1, 3, 4], [0, 5, 2]]]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0])
def test_pixels_of_a_map_without_order_keep_their_order(value, descending):
    maps = torch.stack([torch.full((20, 20), value), torch.arange(400.0).view(20, 20)])
    maps[0, 0, 0] = 2.0 if value == 2.0 else 1.0
    places = ranks(maps, descending)
    assert torch.equal(places[0], torch.arange(400).view(20, 20))
    assert places[1, 0, 0] == (399 if descending else 0)


@given(hnp.arrays("int16", (2, 4, 5), elements=st.integers(-4, 4)))
def test_ranks_are_a_permutation_that_depends_on_the_order_alone(maps):
    maps = torch.as_tensor(maps)
    for descending in (True, False):
        places = ranks(maps, descending)
        assert torch.equal(places.flatten(1).sort(1).values, torch.arange(20).expand(2, 20))
        assert torch.equal(places, ranks(torch.exp(maps.double()) - 3, descending))
        assert torch.equal(places[1:], ranks(maps[1:], descending))
    assert torch.equal(ranks(maps, False), ranks(-maps, True))
