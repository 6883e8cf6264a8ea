import pytest
import torch

from modeling_pm_vit.training.optimization import freeze_layers, parameter_groups


@pytest.mark.parametrize("count", [-1, 3])
def test_too_many_frozen_layers_are_refused(make_model, count):
    with pytest.raises(ValueError, match=r"0 \.\.\. 2"):
        freeze_layers(make_model(), count)


def test_the_learning_rate_decreases_with_each_layer(make_model):
    model = make_model()
    freeze_layers(model, 1)
    decayed = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    groups = parameter_groups(model, 0.1, 0.5, 0.05, decayed)
    group_of = {id(parameter): group for group in groups for parameter in group["params"]}
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(group_of) == len(learning)
    for name, parameter in learning.items():
        group = group_of[id(parameter)]
        assert group["lr"] == pytest.approx(0.05 if "layers.1" in name else 0.1)
        assert group["weight_decay"] == (0.05 if parameter.ndim > 1 else 0)
    torch.optim.AdamW(groups)
    rates = {group["lr"] for group in parameter_groups(make_model(), 1.0, 0.5, 0.0, ())}
    assert rates == {1.0, 0.5, 0.25, 0.125}
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        parameter_groups(model, 0.1, 0.0, 0.05, decayed)
