"""Logits of chosen classes: from the rows of a linear classifier, or from a call of what replaces it."""

from typing import TypeGuard

import torch
from torch import nn
from torch._subclasses import FakeTensor


def class_logits(classifier: nn.Module, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """
    The logits of chosen classes at every token.

    Args:
        classifier: from `(..., hidden)` to `(..., num_labels)`: a linear layer, or what an adapter or a quantizer has
            put in its place. Of a plain linear layer only the weights of the chosen classes are used; any other module
            is called, for all classes.
        tokens: `(batch, tokens, hidden)`.
        labels: `(batch, K)`, indices of the classes of each image, in 0 ... num_labels - 1.

    Returns:
        `(batch, K, tokens)`.
    """
    if _is_plain_linear(classifier):
        weight, bias = classifier.weight[labels], classifier.bias[labels]  # (batch, K, hidden), (batch, K)
        return torch.baddbmm(bias.unsqueeze(-1), weight, tokens.transpose(1, 2))
    logits = classifier(tokens)  # (batch, tokens, num_labels)
    if logits.shape[:-1] != tokens.shape[:-1]:  # else `gather` would read other values
        raise ValueError(f"the classifier makes {tuple(logits.shape)} of tokens {tuple(tokens.shape)}.")
    return logits.gather(-1, labels.unsqueeze(1).expand(-1, tokens.shape[1], -1)).transpose(1, 2)


def _is_plain_linear(module: nn.Module) -> TypeGuard[nn.Linear]:
    """
    Whether the rows of `module.weight` are all that a call of the module depends on. Not so with adapters and quantized
    layers (other classes), quantized and sharded weights (subclasses of tensor), offloaded weights (on meta),
    parametrizations and hooks. When in doubt the answer is no, which costs time only.
    """
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    if type(module) is not nn.Linear or any(hooks) or "forward" in vars(module):
        return False
    return all(  # `FakeTensor`: while a graph is exported
        type(tensor) in (nn.Parameter, torch.Tensor, FakeTensor) and tensor.is_floating_point() and not tensor.is_meta
        for tensor in (module.weight, module.bias)
    )


__all__ = ["class_logits"]
