"""Distances of features: small where the training was, and the same after saving, in every path."""

import pytest
import torch

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.confidence_pm_vit import DISTANCE_SCORES
from modeling_pm_vit.distance_pm_vit import FeatureDistance
from modeling_pm_vit.metrics.unknown import auroc


def area(distance, known, unknown):
    return auroc(*(-distance(features).numpy() for features in (known, unknown)))


def test_distances_are_small_where_the_training_was():
    generator = torch.Generator().manual_seed(0)
    means, labels = torch.eye(6)[:3] * 8, torch.arange(3).repeat_interleave(60)
    stretch = torch.tensor([1, 1, 1, 3, 0.1, 1])
    noise = lambda count: torch.randn(count, 6, generator=generator) * stretch  # noqa: E731
    reference, known = means[labels] + noise(180), means[labels[::3]] + noise(60)
    between = (8 / 3) * (torch.arange(6) < 3) + noise(60) / stretch
    off = known + torch.eye(6)[4] * 2  # a direction in which the training hardly varies
    distances = {score: FeatureDistance.fitted(score, reference, labels) for score in DISTANCE_SCORES}
    assert area(distances["mahalanobis"], known, off) > 0.99
    assert all(area(distance, known, between) > 0.9 for distance in distances.values())
    with pytest.raises(ValueError, match="score must be one of mahalanobis, nearest_neighbours, got 'energy'"):
        FeatureDistance.fitted("energy", reference, labels)


def test_mahalanobis_is_that_of_its_definition():
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(200, 4, generator=generator).double(), torch.arange(200) % 2
    distance = FeatureDistance.fitted("mahalanobis", features, labels + 5)  # a class without images has no mean
    centred = torch.cat([features[labels == label] - features[labels == label].mean(0) for label in (0, 1)])
    covariance = centred.T @ centred / 200
    inverse = torch.linalg.inv(covariance + torch.eye(4) * 1e-3 * covariance.trace() / 4)
    offsets = features[:, None] - torch.stack([features[labels == label].mean(0) for label in (0, 1)])
    expected = torch.einsum("ncd,de,nce->nc", offsets, inverse, offsets).amin(1) / 4
    torch.testing.assert_close(distance(features), expected.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("score", DISTANCE_SCORES)
def test_fewer_images_than_dimensions_have_a_distance(score):
    features = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    distance = FeatureDistance.fitted(score, features, torch.arange(8) % 2)
    assert distance(features).isfinite().all() and distance(features).shape == (8,)


@pytest.mark.parametrize("score", DISTANCE_SCORES)
@pytest.mark.parametrize("pooling", ["cls", "cls_mean"])
def test_a_model_keeps_its_references_and_gives_the_distance(score, pooling, make_model, tmp_path):
    plain = make_model(pooling=pooling)
    images = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert plain(images).feature_distance is None and plain.distance is None
    features = plain.image_inputs(plain.run_backbone(images).last_hidden_state).detach()
    fitted = FeatureDistance.fitted(score, features, torch.arange(12) % 3)
    count = len(fitted.references)
    model = make_model(pooling=pooling, confidence_score=score, confidence_references=count, confidence_threshold=-1.0)
    model.load_state_dict(plain.state_dict() | {f"distance.{name}": of for name, of in fitted.state_dict().items()})
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in plain.parameters())
    model.save_pretrained(tmp_path)
    loaded = PMViTForImageClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(images).feature_distance, fitted(features))
    torch.testing.assert_close(loaded.predict(images).confidence, -fitted(features))
    assert loaded(images, labels=torch.zeros(12, dtype=int)).feature_distance is None
    forgotten = PMViTForImageClassification.from_pretrained(
        tmp_path, confidence_score="max_probability", confidence_references=None
    )
    torch.testing.assert_close(forgotten(images).logits, plain(images).logits)
