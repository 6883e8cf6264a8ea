import torch
from transformers import ViTForImageClassification

from modeling_pm_vit.evaluation.cost import explanation_costs, vit_baseline
from modeling_pm_vit.explainers import EXPLAINERS


def test_the_vit_baseline_has_the_same_weights_and_logits(make_model):
    model = make_model()
    plain = vit_baseline(model)
    assert type(plain) is ViTForImageClassification
    assert plain.classifier.weight.data_ptr() == model.classifier.weight.data_ptr()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(images).logits, model(images).logits)


def test_every_explainer_gets_a_cost(make_model):
    names = ["random", "rollout", "pm-vit"]
    costs = explanation_costs({name: EXPLAINERS[name] for name in names}, make_model(), torch.rand(2, 3, 32, 32), 2)
    assert set(costs) == set(names)
    assert all(cost["ratio"] > 0 and cost["rounds"] == 2 for cost in costs.values())
