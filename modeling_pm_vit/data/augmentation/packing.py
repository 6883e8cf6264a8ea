"""Many small tensors in one buffer: one to send between processes, one to pin, one copy to a device."""

from collections.abc import Mapping

import torch

_ALIGNMENT = 8  # bytes; of the largest type


class PackedTensors:
    """
    Args:
        tensors: on the CPU, by name.

    Example:
        >>> packed = PackedTensors({"flips": torch.tensor([True]), "crops": torch.tensor([[1.0, 2.0]])})
        >>> packed.on(torch.device("cpu"))["crops"]
        tensor([[1., 2.]])
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        self._places: dict[str, tuple[int, int, torch.dtype, torch.Size]] = {}
        parts, start = [torch.zeros(0, dtype=torch.uint8)], 0
        for name, tensor in tensors.items():
            content = tensor.reshape(-1).contiguous().view(torch.uint8)
            self._places[name] = (start, len(content), tensor.dtype, tensor.shape)
            parts += [content, content.new_zeros(-len(content) % _ALIGNMENT)]
            start += len(content) + len(parts[-1])
        self._buffer = torch.cat(parts)

    def pin_memory(self) -> "PackedTensors":
        """As of a tensor; a `DataLoader` calls it."""
        self._buffer = self._buffer.pin_memory()
        return self

    def on(self, device: torch.device) -> dict[str, torch.Tensor]:
        """The tensors on a device; the copy is not waited for."""
        buffer = self._buffer.to(device, non_blocking=True)
        return {
            name: buffer[start : start + length].view(dtype).view(shape)
            for name, (start, length, dtype, shape) in self._places.items()
        }
