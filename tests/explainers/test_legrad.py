import numpy as np
import pytest
import torch

from modeling_pm_vit.explainers.legrad import legrad


def attend(layer, tokens, weights):
    """A layer's output under the given attention `(heads, tokens, tokens)`."""
    values = layer.attention.v_proj(layer.layernorm_before(tokens)).unflatten(-1, (2, 8)).transpose(0, 1)
    tokens = tokens + layer.attention.o_proj((weights @ values).transpose(0, 1).flatten(1))
    return tokens + layer.mlp(layer.layernorm_after(tokens))


def attention_of(layer, tokens):
    normed = layer.layernorm_before(tokens)
    queries, keys = (
        projection(normed).unflatten(-1, (2, 8)).transpose(0, 1)
        for projection in (layer.attention.q_proj, layer.attention.k_proj)
    )
    return (queries @ keys.transpose(1, 2) / 8**0.5).softmax(-1)


@pytest.mark.parametrize("layers", [None, 2, 1])
def test_equals_the_definition_written_out_layer_by_layer(model, images, layers):
    labels = torch.tensor([0, 3, 1])
    maps = legrad(model, images, labels, layers)
    vit = model.double().vit
    for image, label, heatmap in zip(images, labels, maps, strict=True):
        tokens = vit.embeddings(image[None].double())[0].detach()
        total = np.zeros(16)
        for number, layer in enumerate(vit.layers):
            weights = attention_of(layer, tokens).detach().requires_grad_()
            output = attend(layer, tokens, weights)
            score = model.classifier(vit.layernorm(output.mean(0)))[label]
            (gradient,) = torch.autograd.grad(score, weights)
            if number >= 3 - (layers or 3):
                total += gradient.clamp(min=0).mean((0, 1))[1:].numpy()
            tokens = output.detach()
        expected = (total - total.min()) / (total.max() - total.min())
        np.testing.assert_allclose(heatmap.ravel(), expected, atol=1e-5)


def test_each_layers_gradient_stays_in_that_layer(model, images):
    passes = []
    for layer in model.base_model.layers:
        layer.mlp.fc1.register_full_backward_hook(lambda module, inputs, outputs: passes.append(module))
    legrad(model, images, torch.tensor([0, 3, 1]))
    assert sorted(map(id, passes)) == sorted(id(layer.mlp.fc1) for layer in model.base_model.layers)
