import pytest
import torch

from modeling_pm_vit.evaluation.classifier import Classifier


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
