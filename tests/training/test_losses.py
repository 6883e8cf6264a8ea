import pytest
import torch
from torch import nn

from modeling_pm_vit.training.losses import mixed_cross_entropy, smoothed_labels, weighted_binary_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels_equal_a_soft_target(smoothing):
    torch.manual_seed(0)
    logits, first, second = torch.randn(4, 5), torch.tensor([0, 3, 2, -100]), torch.tensor([1, 3, 4, -100])
    shares = torch.tensor([0.25, 0.5, 1.0, 1.0])
    target = shares[:3, None] * nn.functional.one_hot(first[:3], 5) + (1 - shares[:3, None]) * nn.functional.one_hot(
        second[:3], 5
    )
    expected = nn.functional.cross_entropy(logits[:3], target, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(mixed_cross_entropy(logits, first, second, shares, smoothing), expected)
    plain = nn.functional.cross_entropy(logits[:3], first[:3], reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(mixed_cross_entropy(logits, first, smoothing=smoothing), plain)


def test_smoothed_labels_lie_nearer_to_one_half_and_unknown_ones_stay():
    labels = torch.tensor([[1.0, 0.0, 0.5, -100.0]])
    torch.testing.assert_close(smoothed_labels(labels, 0.1), torch.tensor([[0.95, 0.05, 0.5, -100.0]]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_image_has_the_weight_of_its_class(smoothing):
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(4, 3), torch.tensor([0, 2, 2, -100]), torch.tensor([0.5, 9.0, 2.0])
    each = nn.functional.cross_entropy(logits[:3], labels[:3], reduction="none", label_smoothing=smoothing)
    expected = 0.5 * each[0] + 2 * each[1] + 2 * each[2]
    torch.testing.assert_close(
        mixed_cross_entropy(logits, labels, smoothing=smoothing, class_weights=weights), expected
    )


def test_of_several_labels_what_is_present_has_the_weight_of_its_class():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 2), torch.tensor([[1.0, 0.0], [0.0, -100.0], [1.0, 1.0]])
    found = weighted_binary_cross_entropy(logits, labels, torch.tensor([3.0, 0.5]))
    present, absent = nn.functional.softplus(-logits), nn.functional.softplus(logits)
    expected = 3 * (present[0, 0] + present[2, 0]) + 0.5 * present[2, 1] + absent[0, 1] + absent[1, 0]
    torch.testing.assert_close(found, expected)
