"""What a label alone says of the patches of an image."""

from math import ceil, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.loss_pm_vit import sigmoid_patch_loss, softmax_patch_loss
from modeling_pm_vit.weak_loss_pm_vit import POSSIBLE, open_patch_loss, presence_loss

CLASSES = 4
SMALL = {"image_size": 32, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}


def model_of(**settings) -> PMViTForImageClassification:
    torch.manual_seed(0)
    model = PMViTForImageClassification(PMViTConfig(**SMALL, num_labels=CLASSES, **settings)).eval()
    torch.nn.init.normal_(model.classifier.weight)  # so that the classes of a patch differ
    torch.nn.init.constant_(model.classifier.bias, 5.0)  # and each is on some patch
    return model


def mask_loss(model, masks: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mask loss of random images, and the logits `(n, patches, classes)` of their patches."""
    pixels = torch.rand(len(masks), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    inputs = {"pixel_values": pixels, "labels": classes[:, 0], "mask_labels": masks, "explain_labels": classes}
    logits = model(pixels, explain_labels=torch.arange(CLASSES).expand(len(masks), -1)).mask_logits
    return model(**inputs).mask_loss, logits.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "joint"])
def test_at_a_patch_only_the_other_classes_are_charged(kind):
    """The class or background in the softmax; in the sigmoid nothing of the class."""
    model = model_of(mask_loss_type=kind, min_area=1e-6)
    loss, z = mask_loss(model, torch.full((3, 1, 4, 4), float(POSSIBLE)), torch.tensor([[1], [1], [1]]))
    with_background = torch.cat((z, torch.zeros(3, 16, 1)), -1).softmax(-1)
    softmax = -(with_background[..., 1] + with_background[..., -1]).log()
    sigmoid = torch.nn.functional.softplus(z[..., [0, 2, 3]]).sum(-1)
    expected = {"softmax": softmax, "sigmoid": sigmoid, "joint": softmax + sigmoid}[kind]
    assert loss.item() == pytest.approx(expected.mean().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "joint"])
@settings(max_examples=8, deadline=None)
@given(covered=st.lists(st.sampled_from([0.0, 1.0]), min_size=16, max_size=16))
def test_a_mask_costs_more_than_the_label_alone(kind, covered):
    """Whatever the mask is: the label leaves open which one it is."""
    model = model_of(mask_loss_type=kind, min_area=1e-6)
    classes, mask = torch.tensor([[2]]), torch.tensor(covered).reshape(1, 1, 4, 4)
    known, _ = mask_loss(model, mask, classes)
    weak, _ = mask_loss(model, torch.full_like(mask, POSSIBLE), classes)
    assert weak <= known + 1e-5
    mixed, _ = mask_loss(model, torch.where(mask > 0, mask, POSSIBLE), classes)
    assert weak <= mixed + 1e-5 or (mask == 0).all()


@pytest.mark.parametrize(
    ("probabilities", "least_areas"),
    [([1.0, 1.0, 1e-9, 1e-9], [0.5, 0.25]), ([0.5, 0.5, 0.5, 1e-9], [0.75, 0.5]), ([0.9, 0.1, 1e-9, 1e-9], [0.5])],
    ids=["few and sure", "more than asked for", "one sure, one not"],
)
def test_half_a_probability_on_the_least_area_is_enough(probabilities, least_areas):
    logits = torch.tensor(probabilities).logit(1e-12).repeat(4).reshape(1, 1, 16)
    for least in least_areas:
        assert presence_loss(logits, torch.zeros(1, 1, 16), torch.ones(1, 1, 16), least).item() == 0


@pytest.mark.parametrize("least", [0.05, 0.25, 0.6, 0.99])
@pytest.mark.parametrize("probability", [0.01, 0.3])
def test_a_faint_probability_everywhere_is_not_enough(probability, least):
    logits = torch.full((1, 1, 16), probability).logit().requires_grad_()
    loss = presence_loss(logits, torch.zeros(1, 1, 16), torch.ones(1, 1, 16), least)
    assert loss.item() == pytest.approx(log(0.5 / probability), rel=1e-4)
    loss.sum().backward()
    assert (logits.grad < 0).sum() == ceil(16 * least)  # patches that it raises


def test_few_sure_patches_are_not_enough_for_a_larger_area():
    spikes = torch.full((1, 1, 16), -20.0)
    spikes[..., :2] = 20
    nothing, possible = torch.zeros(1, 1, 16), torch.ones(1, 1, 16)
    assert presence_loss(spikes, nothing, possible, 0.5).item() == pytest.approx(log(0.5 / 0.25), abs=1e-4)


def test_each_class_may_have_a_least_area_of_its_own():
    spikes = torch.full((2, 1, 16), -20.0)
    spikes[..., :2] = 20
    nothing, possible = torch.zeros(2, 1, 16), torch.ones(2, 1, 16)
    loss = presence_loss(spikes, nothing, possible, torch.tensor([[0.1], [0.5]]))
    assert loss.tolist() == pytest.approx([0, log(2)], abs=1e-4)
    classes, masks = torch.tensor([[0], [3]]), torch.full((2, 1, 4, 4), float(POSSIBLE))
    same, each = model_of(min_area=0.5), model_of(min_area=[0.5, 0.01, 0.01, 0.5])
    assert mask_loss(same, masks, classes)[0] == mask_loss(each, masks, classes)[0]


def test_a_class_that_covers_a_patch_is_somewhere_already():
    logits, coverage, possible = torch.full((1, 1, 16), -5.0), torch.zeros(1, 1, 16), torch.ones(1, 1, 16)
    assert presence_loss(logits, coverage, possible, 0.25) > 0
    coverage[..., 0], possible[..., 0] = 0.5, 0
    assert presence_loss(logits, coverage, possible, 0.25) == 0


def test_the_statement_has_the_weight_of_its_patches_and_its_share():
    logits, nothing, possible = torch.full((1, 1, 16), -5.0), torch.zeros(1, 1, 16), torch.ones(1, 1, 16)
    whole = presence_loss(logits, nothing, possible, 0.25).item()
    possible[..., 4:] = 0  # a cell of a mosaic
    assert presence_loss(logits, nothing, possible, 0.25).item() == pytest.approx(whole / 4)
    assert presence_loss(logits, nothing, torch.full_like(possible, 0.3), 0.25).item() == pytest.approx(0.3 * whole)


def test_labels_alone_make_a_map_of_the_least_area_and_keep_other_classes_away():
    torch.manual_seed(0)
    z = torch.randn(CLASSES, 16, CLASSES, requires_grad=True)  # the logits of the patches of an image of each class
    optimizer = torch.optim.Adam([z], lr=0.1)
    possible, nothing = torch.ones(CLASSES, 1, 16), torch.zeros(CLASSES, 1, 16)
    for _ in range(200):
        own = z.diagonal(dim1=0, dim2=2).T.unsqueeze(1)
        loss = softmax_patch_loss(z, own, nothing) + sigmoid_patch_loss(z, own, nothing)
        loss = (loss - open_patch_loss(own, nothing, possible > 0, "joint")).mean(1)
        optimizer.zero_grad()
        (loss + presence_loss(own, nothing, possible, 0.5)).sum().backward()
        optimizer.step()
    area = z.sigmoid().mean(1)  # (images, classes)
    assert (area.diagonal() > 0.45).all()
    assert (area[~torch.eye(CLASSES, dtype=torch.bool)] < 0.05).all()


@pytest.mark.parametrize("min_area", [0, 1, -0.1, [0.1, 1.0]])
def test_other_areas_are_refused(min_area):
    with pytest.raises(ValueError, match="min_area must lie between 0 and 1"):
        PMViTConfig(min_area=min_area)
