import time

import torch
from transformers import ViTForImageClassification

from modeling_pm_vit.evaluation.cost import explanation_costs, plain_classifier, ratio
from modeling_pm_vit.explainers import EXPLAINERS


def test_the_plain_classifier_says_the_same(make_model):
    model = make_model()
    plain = plain_classifier(model)
    assert type(plain) is ViTForImageClassification
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(pixels).logits, model(pixels).logits)


def test_calls_take_turns_and_the_first_round_does_not_count():
    calls = []
    found = ratio(lambda: calls.append("ours"), lambda: calls.append("theirs"), 3, torch.device("cpu"))
    assert calls == ["ours", "theirs", "theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert found["low"] <= found["ratio"] <= found["high"]


def test_a_ratio_is_ours_over_theirs():
    found = ratio(lambda: time.sleep(0.06), lambda: time.sleep(0.02), 3, torch.device("cpu"))
    assert 1.5 < found["ratio"] < 6


def test_every_explainer_gets_a_cost(make_model):
    names = ["random", "rollout", "pm-vit"]
    costs = explanation_costs({name: EXPLAINERS[name] for name in names}, make_model(), torch.rand(2, 3, 32, 32), 2)
    assert set(costs) == set(names)
    assert all(cost["ratio"] > 0 for cost in costs.values())
