import pytest
import torch

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.training.stochastic_depth import add_stochastic_depth

IMAGES = 600


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    return PMViTForImageClassification(PMViTConfig(image_size=16, patch_size=8, num_labels=3, **sizes))


def branches(model) -> dict[str, torch.Tensor]:
    """What attention and MLP of each layer add to the tokens of equal images."""
    found = {}
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(IMAGES, -1, -1, -1)
    hooks = [
        module.register_forward_hook(
            lambda module, inputs, output, name=f"{number} {branch}": found.__setitem__(
                name, output[0] if isinstance(output, tuple) else output
            )
        )
        for number, layer in enumerate(model.layers)
        for branch, module in (("attention", layer.attention), ("mlp", layer.mlp))
    ]
    model(pixels)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("frozen", [0, 2])
def test_deeper_branches_are_left_out_more_often_and_keep_their_mean(model, frozen):
    whole = branches(model.train())
    add_stochastic_depth(model, 0.5, frozen)
    for name, output in branches(model).items():
        number = int(name[0])
        left_out = (output == 0).flatten(1).all(1)
        expected = 0.5 * number / 2 if number >= frozen else 0
        assert left_out.float().mean() == pytest.approx(expected, abs=0.07), name
        if number == max(1, frozen) and "attention" in name:  # later ones see other tokens
            mean = whole[name][0] / (1 - expected)
            assert torch.allclose(output[~left_out][0], mean, atol=1e-5)


def test_in_evaluation_nothing_is_left_out(model):
    whole = branches(model.eval())
    add_stochastic_depth(model, 0.5)
    for name, output in branches(model).items():
        assert torch.equal(output, whole[name])
