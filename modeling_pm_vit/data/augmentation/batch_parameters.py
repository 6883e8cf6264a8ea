"""The augmentations of a batch as tensors. A loading process makes them, so that the device waits for no Python."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .operations import BLENDS, GEOMETRIC, STRETCHES, TABLES, affine_matrix, transform_colours
from .packing import PackedTensors
from .parameters import Augmentation
from .policies import Operation


@dataclass
class BatchParameters:
    """
    Args:
        size: (height, width) of the model's input.
        reach: number of pixels by which a crop reaches beyond the canvas of the images at most.
        steps: number of operations of the image with the most.
        tensors: `start`, `length`, `limit` `(n, 2)` float32, where each crop begins, how long it is, and the size of
            the image, each in rows and columns; `flip` `(n,)`; `plane_rows` `(m,)`, the image of each mask; `colours`
            `(n, 3)` and `erased` `(n, 4)`, if any image has them; `STEP/...`, of each step of operations (see
            [`_step`]); and what else is to be sent along.
    """

    size: tuple[int, int]
    reach: int
    steps: int
    tensors: PackedTensors

    def pin_memory(self) -> "BatchParameters":
        """As of a tensor; a `DataLoader` calls it."""
        self.tensors.pin_memory()
        return self


def batch_parameters(
    augmentations: Sequence[Augmentation],
    sizes: Sequence[tuple[int, int]],
    plane_rows: Sequence[int],
    canvas: tuple[int, int],
    size: tuple[int, int],
    more: Mapping[str, torch.Tensor] | None = None,
) -> BatchParameters:
    """
    Args:
        augmentations: of the images.
        sizes: (height, width) of the images.
        plane_rows: for each mask its image.
        canvas: (height, width) of the tensor that holds the images.
        size: (height, width) of the model's input.
        more: tensors to send along.
    """
    crops = torch.tensor([a.crop for a in augmentations])
    beyond = torch.cat((-crops[:, :2], crops[:, :2] + crops[:, 2:] - torch.tensor(canvas)))
    tensors = {
        "start": crops[:, :2].float(),
        "length": crops[:, 2:].float(),
        "limit": torch.tensor([tuple(one) for one in sizes], dtype=torch.float32),
        "flip": torch.tensor([a.flip for a in augmentations]),
        "plane_rows": torch.tensor(list(plane_rows), dtype=torch.long),
        **(more or {}),
    }
    if any(a.colours != (1, 1, 1) for a in augmentations):
        tensors["colours"] = torch.tensor([a.colours for a in augmentations])
    if any(a.erased for a in augmentations):
        tensors["erased"] = torch.tensor([a.erased or (0, 0, 0, 0) for a in augmentations])
    steps = max(len(a.operations) for a in augmentations)
    for step in range(steps):
        operations = {row: a.operations[step] for row, a in enumerate(augmentations) if step < len(a.operations)}
        of_step = _step(operations, plane_rows, size)
        tensors |= {f"{step}/{name}": tensor for name, tensor in of_step.items()}
    return BatchParameters(size, int(beyond.max().clamp(min=0)), steps, PackedTensors(tensors))


def _step(
    operations: Mapping[int, Operation], plane_rows: Sequence[int], size: tuple[int, int]
) -> dict[str, torch.Tensor]:
    """
    Of the images whose operation is of a kind, their rows, and how to change them:

    - `moved`, `moved_planes` and `matrices`, of the images and then of the masks (see [`affine_matrix`]);
    - `mapped` and `tables` `(r, 256)`, the new level of each;
    - `colour`, `contrast`, `sharpness`, and `factors` of all three (see [`blend_colours`]);
    - `autocontrast`, `equalize`.
    """
    amounts: dict[str, dict[int, float]] = defaultdict(dict)
    matrices: dict[int, list[float]] = {}
    for row, (name, amount) in operations.items():
        if name in GEOMETRIC:
            matrices[row] = affine_matrix(name, amount, size)
        else:
            amounts[name][row] = amount
    found: dict[str, torch.Tensor] = {}
    if matrices:
        places = [place for place, row in enumerate(plane_rows) if row in matrices]
        found |= {"moved": torch.tensor(list(matrices)), "moved_planes": torch.tensor(places, dtype=torch.long)}
        found["matrices"] = torch.tensor([*matrices.values(), *(matrices[plane_rows[place]] for place in places)])
    mapped = [name for name in TABLES if name in amounts]
    if mapped:
        levels = torch.arange(256, dtype=torch.uint8)
        found["mapped"] = torch.tensor([row for name in mapped for row in amounts[name]])
        of_kinds = [torch.tensor(list(amounts[name].values())) for name in mapped]
        tables = [
            transform_colours(levels.expand(len(a), 1, 1, 256), n, a) for n, a in zip(mapped, of_kinds, strict=True)
        ]
        found["tables"] = torch.cat(tables).flatten(1)
    if any(name in amounts for name in BLENDS):
        found |= {name: torch.tensor(list(amounts[name]), dtype=torch.long) for name in BLENDS}
        found["factors"] = torch.tensor([1 + amount for name in BLENDS for amount in amounts[name].values()])
    for name in STRETCHES:
        if name in amounts:
            found[name] = torch.tensor(list(amounts[name]))
    return found
