import pytest
import torch
from safetensors.torch import load_file


@pytest.mark.slow
def test_gradient_checkpointing_does_not_change_the_weights(run, flags, tmp_path):
    weights = []
    for value in ("false", "true"):
        run(flags, "--gradient_checkpointing", value, "--output_dir", tmp_path / value)
        weights.append(load_file(tmp_path / value / "model.safetensors"))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight)
