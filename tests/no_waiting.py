"""A GPU that computes nothing, for tests without one: an error where a program would wait for the GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


class GPUWithoutValues:
    """Tensors that have shapes and a device, but no values."""

    device = torch.device("cuda", 0)

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def tensors(self, values: dict[str, Any]) -> dict[str, Any]:
        """The tensors of a batch on the GPU."""
        with self.mode:
            return {
                name: torch.empty(value.shape, dtype=value.dtype, device=self.device)
                if isinstance(value, torch.Tensor)
                else value
                for name, value in values.items()
            }

    def moved(self, model: nn.Module) -> nn.Module:
        """The same model with weights on the GPU."""
        for module in model.modules():
            weights = self.tensors({name: weight.data for name, weight in module._parameters.items()})
            module._parameters.update({name: nn.Parameter(weight) for name, weight in weights.items()})
        return model

    @contextmanager
    def watched(self) -> Iterator[None]:
        """
        In this context it is an error to read a value of a tensor on the GPU, to select by values, and to copy between
        devices and wait for it.
        """
        with self.mode, _NoBlockingCopies():
            yield


class _NoBlockingCopies(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            old, new, waits = args[0].device, kwargs.get("device"), not kwargs.get("non_blocking")
        elif func is torch.ops.aten.copy_.default:
            old, new, waits = args[1].device, args[0].device, len(args) < 3 or not args[2]
        else:
            return func(*args, **kwargs)
        if waits and new is not None and torch.device(new).type != old.type:
            raise AssertionError(f"a copy from {old} to {new} is waited for")
        return func(*args, **kwargs)
