import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr

from modeling_pm_vit.evaluation.randomized_models import randomized_models
from modeling_pm_vit.metrics.randomization import STAGES, rank_correlation


def test_the_cascade_goes_from_the_classifier_down(make_model):
    model = make_model(num_hidden_layers=4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copies = randomized_models(model)
    weights = [name for name in before if name.endswith("weight") and "layernorm" not in name]
    changed = {
        stage: {name for name in weights if not torch.equal(copy.state_dict()[name], before[name])}
        for stage, copy in copies.items()
    }
    assert changed["classifier"] == {"classifier.weight"}
    assert changed["everything"] == set(weights)
    assert changed["upper_half"] == {
        name for name in weights if name.startswith(("classifier", "vit.layers.2", "vit.layers.3"))
    }
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    again = randomized_models(model)
    for stage in STAGES:
        for name, tensor in copies[stage].state_dict().items():
            assert torch.equal(tensor, again[stage].state_dict()[name])


@given(hnp.arrays(np.float64, (1, 4, 5), elements={"min_value": -9, "max_value": 9}))
def test_the_correlation_is_spearmans(heatmap):
    other = np.random.default_rng(0).random((1, 4, 5))
    found = rank_correlation(heatmap, other)[0]
    if np.ptp(np.abs(heatmap)) == 0:
        assert found == 0
    else:
        assert found == pytest.approx(spearmanr(np.abs(heatmap).ravel(), other.ravel()).statistic, abs=1e-9)


def test_a_map_that_did_not_notice_scores_one():
    maps = np.random.default_rng(0).random((3, 4, 4))
    assert rank_correlation(maps, maps * 7) == pytest.approx(np.ones(3))
