import pytest
import torch
from transformers import TrainerState

from modeling_pm_vit.training.averaging import WeightAverage


def test_the_average_follows_the_weights_and_can_be_applied_saved_and_loaded(tmp_path):
    model = torch.nn.Linear(2, 1)
    average, expected = WeightAverage(model, 0.5), model.weight.detach().clone()
    for step in range(1, 9):
        with torch.no_grad():
            model.weight += step
        average.on_step_end(None, TrainerState(global_step=step), None)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.weights["weight"], expected)
    last = model.weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(model.weight.detach(), expected)
    assert torch.equal(model.weight, last)
    average.save(tmp_path)
    other = WeightAverage(torch.nn.Linear(2, 1), 0.5)
    other.load(tmp_path)
    assert torch.equal(other.weights["weight"], average.weights["weight"])
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        WeightAverage(model, 1.0)
