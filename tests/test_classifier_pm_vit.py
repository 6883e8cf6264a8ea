"""Adapters, quantized layers, hooks: maps are what the layer in the place of the classifier makes of the patches."""

import copy
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import ViTConfig, ViTForImageClassification

from modeling_pm_vit.classifier_pm_vit import class_logits

# 16 classes on 4 x 4 patches: mistaking one for the other would go unnoticed.
SETTINGS = {"num_labels": 16, "hidden_size": 64, "intermediate_size": 64, "initializer_range": 0.1}
BITSANDBYTES_4_BITS = SETTINGS | {"num_labels": 32}  # its kernel for CPUs with AVX-512 takes multiples of 32
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
EXPLAINED = torch.tensor([[3, 0, 15], [7, 7, 1]])


# --- what replaces the linear layers of a model ---


def lora(model: nn.Module, **settings) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    return get_peft_model(model, LoraConfig(r=4, init_lora_weights=False, **settings)).eval()


def lora_all_linear(model: nn.Module) -> nn.Module:
    return lora(model, target_modules="all-linear")


def lora_and_whole_classifier(model: nn.Module) -> nn.Module:
    return lora(model, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])


def dora_all_linear(model: nn.Module) -> nn.Module:
    return lora(model, target_modules="all-linear", use_dora=True)


def quanto(model: nn.Module, bits: int = 8, activations: bool = False) -> nn.Module:
    from optimum.quanto import Calibration, freeze, qint4, qint8, quantize

    quantize(model, weights=qint8 if bits == 8 else qint4, activations=qint8 if activations else None)
    with Calibration(), torch.no_grad():
        model(IMAGES)
    freeze(model)
    return model


def quanto_4_bits(model: nn.Module) -> nn.Module:
    """With its kernel for CPUs in PyTorch: the library would compile it, for minutes."""
    from optimum.quanto.library.extensions.cpp import ext

    def unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
        return torch.cat([packed >> place & (1 << bits) - 1 for place in range(0, 8, bits)])

    ext._lib = SimpleNamespace(unpack=unpack)
    return quanto(model, bits=4)


def quanto_activations(model: nn.Module) -> nn.Module:
    return quanto(model, activations=True)


def torchao_weight_only(model: nn.Module) -> nn.Module:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(model, Int8WeightOnlyConfig())
    return model


def torchao_dynamic(model: nn.Module) -> nn.Module:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return model


def torch_dynamic(model: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def replaced(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """`model` with `make(layer)` in the place of each linear layer."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, make(child))
    return model.eval()


def hqq(model: nn.Module) -> nn.Module:
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    config = BaseQuantizeConfig(nbits=8, group_size=64)
    return replaced(model, lambda layer: HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu"))


def bitsandbytes(model: nn.Module, make: Callable[..., nn.Linear], **settings) -> nn.Module:
    def quantized(layer: nn.Linear) -> nn.Module:
        new = make(layer.in_features, layer.out_features, **settings)
        new.load_state_dict(layer.state_dict())
        return new.to("cpu")

    return replaced(model, quantized)


def bitsandbytes_8_bits(model: nn.Module) -> nn.Module:
    from bitsandbytes.nn import Linear8bitLt

    return bitsandbytes(model, Linear8bitLt, has_fp16_weights=False)


def bitsandbytes_4_bits(model: nn.Module) -> nn.Module:
    from bitsandbytes.nn import Linear4bit

    return bitsandbytes(model, Linear4bit, quant_type="nf4", compute_dtype=torch.float32)


# The largest relative error of the logits: rounding errors of the weights are 0.4 % of the largest with 8 bits and 7 %
# with 4; they add up over three layers.
WRAPPERS = [
    (lora_all_linear, "peft", None),
    (lora_and_whole_classifier, "peft", None),
    (dora_all_linear, "peft", None),
    (quanto, "optimum.quanto", 0.03),
    (quanto_4_bits, "optimum.quanto", 0.3),
    (quanto_activations, "optimum.quanto", 0.05),
    (torchao_weight_only, "torchao", 0.03),
    (torchao_dynamic, "torchao", 0.05),
    (torch_dynamic, "torch", 0.05),
    (hqq, "hqq", 0.03),
    (bitsandbytes_8_bits, "bitsandbytes", 0.03),
    (bitsandbytes_4_bits, "bitsandbytes", 0.3),
]


def maps_of(classifier: nn.Module, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`(batch, K, 4, 4)`: all classes of the patches, of which the explained ones are taken image by image."""
    everything = classifier(tokens[:, 1:])  # (batch, patches, num_labels)
    return torch.stack([logits.T[ids] for logits, ids in zip(everything, labels, strict=True)]).unflatten(-1, (4, 4))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(("wrap", "library", "error"), WRAPPERS)
@torch.no_grad()
def test_logits_and_maps_are_those_of_a_stock_vit_wrapped_in_the_same_way(make_model, tiny, wrap, library, error):
    pytest.importorskip(library)
    settings = BITSANDBYTES_4_BITS if wrap is bitsandbytes_4_bits else SETTINGS
    model = make_model(**settings)
    stock = ViTForImageClassification(ViTConfig(**tiny | settings)).eval()
    stock.load_state_dict(model.state_dict())
    float_outputs = model(IMAGES, explain_labels=EXPLAINED)

    wrapped, stock = wrap(copy.deepcopy(model)), wrap(stock)
    outputs = wrapped(pixel_values=IMAGES, explain_labels=EXPLAINED)
    inner = stock.get_base_model() if library == "peft" else stock
    assert type(inner.classifier) is not nn.Linear or type(inner.classifier.weight) is not nn.Parameter  # is wrapped
    tokens = inner.vit(IMAGES).last_hidden_state
    assert torch.equal(outputs.logits, stock(IMAGES).logits)
    assert torch.equal(outputs.mask_logits, maps_of(inner.classifier, tokens, EXPLAINED))

    most_probable = wrapped(pixel_values=IMAGES, explain_labels=3)
    assert torch.equal(most_probable.mask_logits, maps_of(inner.classifier, tokens, most_probable.explain_labels))
    predicted = wrapped.predict(IMAGES, EXPLAINED)
    assert torch.equal(predicted.mask_logits, outputs.mask_logits)
    if error is not None:
        assert 0 < relative_error(outputs.logits, float_outputs.logits) < error
        assert 0 < relative_error(outputs.mask_logits, float_outputs.mask_logits) < error


def test_lora_trains_both_losses_and_merging_keeps_the_maps(make_model):
    pytest.importorskip("peft")
    wrapped = lora_all_linear(make_model(**SETTINGS)).train()
    outputs = wrapped(pixel_values=IMAGES, labels=EXPLAINED[:, 0], mask_labels=torch.rand(2, 1, 4, 4))
    outputs.mask_loss.backward()
    gradients = [p.grad for name, p in wrapped.named_parameters() if "lora_" in name]
    assert len(gradients) == 2 * (2 * 6 + 1)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)

    before = wrapped.eval()(pixel_values=IMAGES, explain_labels=EXPLAINED)
    merged = wrapped.merge_and_unload()
    after = merged(IMAGES, explain_labels=EXPLAINED)
    assert type(merged.classifier) is nn.Linear
    torch.testing.assert_close(after.mask_logits, before.mask_logits, rtol=1e-4, atol=1e-4)


# --- changes of a linear layer that its weight does not show ---


class Doubled(nn.Linear):
    def forward(self, tokens):
        return 2 * super().forward(tokens)


def subclass(layer):
    layer.__class__ = Doubled


def forward_hook(layer):
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)


def forward_pre_hook(layer):
    layer.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))


def replaced_forward(layer):
    layer.forward = lambda tokens: 2 * nn.functional.linear(tokens, layer.weight, layer.bias)


def parametrized(layer):
    nn.utils.parametrizations.spectral_norm(layer)


def without_bias(layer):
    layer.bias = None


@pytest.mark.parametrize(
    "change", [subclass, forward_hook, forward_pre_hook, replaced_forward, parametrized, without_bias]
)
@torch.no_grad()
def test_maps_are_what_a_call_of_the_classifier_gives(make_model, change):
    model = make_model(**SETTINGS)
    plain = model(IMAGES, explain_labels=EXPLAINED).mask_logits
    change(model.classifier.eval())
    found = model(IMAGES, explain_labels=EXPLAINED).mask_logits
    assert not torch.allclose(found, plain, atol=1e-3)
    assert torch.equal(found, maps_of(model.classifier, model.vit(IMAGES).last_hidden_state, EXPLAINED))


def test_gradients_of_maps_pass_the_hooks_of_the_classifier(make_model):
    model, seen = make_model(**SETTINGS), []
    model.classifier.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0].shape))
    model(IMAGES, explain_labels=EXPLAINED).mask_logits.sum().backward()
    assert seen == [(2, 16, 16)]


def test_a_classifier_that_mixes_tokens_is_refused(make_model):
    model = make_model(**SETTINGS)
    model.classifier = nn.Sequential(model.classifier, nn.Flatten(0, -2))
    with pytest.raises(ValueError, match=r"makes \(32, 16\) of tokens \(2, 16, 64\)"):
        model(IMAGES)


# --- the plain linear layer ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chosen_rows_equal_the_whole_layer(dtype):
    torch.manual_seed(0)
    layer, tokens = nn.Linear(64, 16).to(dtype), torch.randn(2, 17, 64).to(dtype)
    whole = maps_of(layer, tokens, EXPLAINED).flatten(2)
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 0.01}[dtype]  # a rounding step at the size of the terms
    torch.testing.assert_close(class_logits(layer, tokens[:, 1:], EXPLAINED), whole, rtol=0, atol=tolerance)


def test_plain_layer_never_computes_all_classes_at_all_patches(make_model):
    sizes = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **kwargs or {})
            sizes.update(x.numel() for x in (found if isinstance(found, tuple) else (found,)) if torch.is_tensor(x))
            return found

    model = make_model(num_labels=2000)
    for explain_labels in (5, torch.zeros(2, 5, dtype=torch.long)):
        with Watch(), torch.no_grad():
            model(IMAGES, explain_labels=explain_labels)
    assert 2 * 2000 in sizes  # the logits of the images
    assert 2 * 16 * 2000 not in sizes
