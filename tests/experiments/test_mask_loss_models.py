import pytest
import torch

from experiments.mask_loss.models import (
    DetachedBackbone,
    DiceToo,
    EarlierPatches,
    HardNegative,
    PooledLogits,
    SampledNegative,
    TargetOnly,
    UniformBackground,
)
from modeling_pm_vit import PMViTConfig, PMViTForImageClassification

SIZE = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "num_attention_heads": 2}


def build(model_class, **settings):
    torch.manual_seed(0)
    return model_class(PMViTConfig(**SIZE, num_labels=3, **({"num_hidden_layers": 1} | settings)))


def losses(model_class, coverage, **settings):
    """The mask loss of one image whose class 1 covers its four patches by `coverage`, and the logits `(4, 3)`."""
    model = build(model_class, **settings).double()
    inputs = {"pixel_values": torch.randn(1, 3, 16, 16).double(), "labels": torch.tensor([1])}
    mask_labels = torch.tensor(coverage).double().view(1, 1, 2, 2)
    logits = model(inputs["pixel_values"], explain_labels=torch.tensor([[0, 1, 2]])).mask_logits[0].flatten(1).T
    return model(**inputs, mask_labels=mask_labels).mask_loss, logits


def target_only_loss(logits):
    target = torch.tensor([1.0, 0.5, 0.0, 0.0]).double()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 1], target)


def test_target_only_leaves_the_other_classes_free():
    loss, logits = losses(TargetOnly, [1.0, 0.5, 0.0, 0.0], mask_loss_type="sigmoid")
    torch.testing.assert_close(loss, target_only_loss(logits), check_dtype=False)


def test_a_hard_negative_is_the_most_probable_class_that_the_image_does_not_show():
    loss, logits = losses(HardNegative, [1.0, 0.5, 0.0, 0.0], mask_loss_type="sigmoid")
    hardest = torch.nn.functional.softplus(logits[:, [0, 2]].amax(1)).mean()
    torch.testing.assert_close(loss, target_only_loss(logits) + hardest, check_dtype=False)


@pytest.mark.parametrize("model_class", [HardNegative, SampledNegative])
def test_negatives_are_chosen_by_class_index_where_logits_tie(model_class):
    """In bfloat16 the logits of class 0 equal those of class 1, which the image shows: class 0 is still a negative."""
    model = build(model_class, mask_loss_type="sigmoid")
    with torch.no_grad():
        model.classifier.weight[0] = model.classifier.weight[1] * (1 + 1e-5)
        model.classifier.weight[2] = model.classifier.bias[:] = 0.0
        model.classifier.bias[2] = -20.0  # as a negative, class 2 costs nothing
    inputs = {"pixel_values": torch.randn(64, 3, 16, 16), "labels": torch.ones(64, dtype=torch.long)}
    inputs["explain_labels"] = torch.tensor([[1, -100]] * 64)
    mask_labels = torch.tensor([1.0, 0.5, 0.0, 0.0]).view(1, 1, 2, 2).repeat(64, 2, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs["pixel_values"], explain_labels=3).logits
        assert torch.equal(logits[:, 0], logits[:, 1])
        loss = model(**inputs, mask_labels=mask_labels).mask_loss
        model.patch_loss = super(model_class, model).patch_loss  # of TargetOnly
        target_only = model(**inputs, mask_labels=mask_labels).mask_loss
    assert loss - target_only > 0.1


def test_a_sampled_negative_is_any_class_but_the_own():
    """Over many draws, all classes are equally frequent; the image's own adds no loss."""
    logits = torch.randn(3000, 4, 3)
    coverage = torch.tensor([1.0, 0.5, 0.0, 0.0]).expand(3000, 1, 4)
    inputs = logits, logits[:, None, :, 1], coverage, torch.ones(3000, 1, dtype=torch.long)
    more = build(SampledNegative).patch_loss(*inputs) - build(TargetOnly).patch_loss(*inputs)
    absent = torch.nn.functional.softplus(logits)
    drawn = torch.stack([(more - absent[..., label]).abs().amax(1) < 1e-5 for label in (0, 2)])
    own = more.abs().amax(1) < 1e-5
    assert (drawn.sum(0) + own == 1).all()
    for share in (*drawn.double().mean(1), own.double().mean()):
        assert share == pytest.approx(1 / 3, abs=0.05)


def test_dice_is_of_the_classes_with_a_mask():
    """Of two slots, one empty, only the other counts; a map that is the mask costs nothing more."""
    model, joint = build(DiceToo), build(PMViTForImageClassification)
    logits = torch.randn(2, 4, 3)
    coverage = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).expand(2, 2, 4).clone()
    coverage[1, 0, 1] = 1.0
    logits[1, :, 1] = torch.tensor([40.0, 40.0, -40.0, -40.0])
    inputs = logits, logits[..., [1, 0]].transpose(1, 2), coverage, torch.tensor([[1, 0]] * 2)
    more = model.patch_loss(*inputs) - joint.patch_loss(*inputs)
    found = logits[0, :, 1].sigmoid()
    expected = 1 - 2 * (found[0] + found[1] / 2) / (found.sum() + 1.5)
    torch.testing.assert_close(more[0], expected.expand(4))
    assert more[1, 0] == pytest.approx(0, abs=1e-5)


def test_uniform_background_is_a_soft_target():
    loss, logits = losses(UniformBackground, [1.0, 0.5, 0.0, 0.0])
    target = torch.full((4, 3), 1 / 3).double() * torch.tensor([[0.0], [0.5], [1.0], [1.0]])
    target[:, 1] += torch.tensor([1.0, 0.5, 0.0, 0.0])
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, target), check_dtype=False)


@pytest.mark.parametrize(("model_class", "learns"), [(DetachedBackbone, False), (PMViTForImageClassification, True)])
def test_a_detached_mask_loss_trains_the_classifier_only(model_class, learns):
    model = build(model_class)
    outputs = model(torch.randn(1, 3, 16, 16), labels=torch.tensor([1]), mask_labels=torch.ones(1, 1, 2, 2))
    outputs.mask_loss.backward()
    assert (model.vit.layernorm.weight.grad is not None) == learns
    assert model.classifier.weight.grad.abs().sum() > 0


def test_pooled_logits_are_those_of_cls_where_all_tokens_agree():
    model = build(PooledLogits)
    tokens = torch.randn(2, 1, 16).expand(2, 5, 16)
    torch.testing.assert_close(model.image_logits(tokens), model.classifier(tokens[:, 0]))


def test_earlier_patches_are_those_that_the_last_layer_is_given():
    """[CLS], and so the image's class, is untouched; the maps are those of a ViT without the last layer."""
    deep, plain = build(EarlierPatches, num_hidden_layers=3), build(PMViTForImageClassification, num_hidden_layers=3)
    shallow = build(PMViTForImageClassification, num_hidden_layers=2)
    shallow.load_state_dict(deep.state_dict(), strict=False)
    pixel_values, labels = torch.randn(2, 3, 16, 16), torch.tensor([[0, 1, 2]] * 2)
    outputs, expected = (model.eval()(pixel_values, explain_labels=labels) for model in (deep, shallow))
    torch.testing.assert_close(outputs.mask_logits, expected.mask_logits)
    torch.testing.assert_close(outputs.logits, plain.eval()(pixel_values).logits)
    assert not torch.allclose(outputs.logits, expected.logits)


@pytest.mark.parametrize(
    "model_class",
    [
        DiceToo,
        EarlierPatches,
        HardNegative,
        SampledNegative,
        TargetOnly,
        UniformBackground,
        DetachedBackbone,
        PooledLogits,
    ],
)
def test_no_variant_adds_a_parameter(model_class):
    assert build(model_class).state_dict().keys() == build(PMViTForImageClassification).state_dict().keys()
