"""MixUp, CutMix and mosaics of a batch: first planned from the classes alone, then carried out on the batch's device.

MixUp (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) combine two images and their masks. A mosaic shows
four images, each at half its size, so that a map has to show where each class is, not only where an object is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from ...explanation_pm_vit import IGNORE
from ...utils.errors import InputError
from .parameters import Box

# Indices of two planes after those of the images.
_ABSENT, _UNKNOWN = -2, -1


@dataclass(frozen=True)
class Annotation:
    """
    What is known of an image.

    Args:
        labels: the classes that it is known to show.
        planes: for the classes that its mask tells of, the number of their plane among those of the batch; -1 for a
            class that may be anywhere. Empty for an image without a mask.
        is_labelled: whether anything is known of its classes; otherwise it is padding, or has a mask only.
    """

    labels: tuple[int, ...]
    planes: Mapping[int, int]
    is_labelled: bool = True

    def plane(self, label: int) -> int:
        """The plane that says where a class is in the image."""
        return self.planes.get(label, _ABSENT if self.planes else _UNKNOWN)


@dataclass(frozen=True)
class MixingSettings:
    """
    Args:
        mosaics: number of mosaics to add to a batch, as a share of its images with masks, or with labels that stand for
            them.
        mixup, cutmix: parameter alpha of the Beta distribution of the first image's share; 0 for none. With both, each
            batch gets one of them at random.
        mixing_rate: share of the batches that get MixUp or CutMix.

    Raises:
        InputError: if a value is out of its range.
    """

    mosaics: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixing_rate: float = 1.0

    def __post_init__(self) -> None:
        for name in ("mosaics", "mixup", "cutmix", "mixing_rate"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} must be at least 0, got {getattr(self, name)}.")
        if self.mixing_rate > 1:
            raise InputError(f"--mixing_rate must be at most 1, got {self.mixing_rate}.")


@dataclass
class Plan:
    """
    How a batch is made of n images and their masks, the planes.

    Args:
        rows: which images make the batch, in this order.
        classes: the explained classes of each image of the batch, mosaics last.
        planes: for each of `rows` the plane of each of its classes.
        partners, partner_planes: with MixUp or CutMix, the image that each of `rows` is mixed with, and its planes.
        share: weight of the first image; with CutMix the part of its area that remains.
        box: with CutMix the patches that the second image fills: top, left, bottom, right, ends exclusive.
        mosaics, mosaic_planes: four images for each mosaic, in reading order, and the planes of each.
    """

    rows: list[int]
    classes: list[list[int]]
    planes: list[list[int]]
    partners: list[int] = field(default_factory=list)
    partner_planes: list[list[int]] = field(default_factory=list)
    share: float = 1.0
    box: Box | None = None
    mosaics: list[list[int]] = field(default_factory=list)
    mosaic_planes: list[list[list[int]]] = field(default_factory=list)

    @property
    def explain_labels(self) -> torch.Tensor:
        """`(batch, K)`, -100 for an empty slot."""
        return _padded(self.classes, self.slots, IGNORE)

    @property
    def mask_rows(self) -> torch.Tensor:
        """`(M,)`, the images of the batch of which something is known of where a class is."""
        partners = self.partner_planes or [[]] * len(self.rows)
        planes = [[*first, *second] for first, second in zip(self.planes, partners, strict=True)]
        planes += [[plane for part in parts for plane in part] for parts in self.mosaic_planes]
        return torch.tensor([row for row, some in enumerate(planes) if any(plane != _UNKNOWN for plane in some)]).long()

    def indices(self) -> dict[str, torch.Tensor]:
        """
        What [`carry_out`] selects by: `rows` `(batch,)`, `planes` `(batch, K)`, with partners `other_rows` and
        `other_planes`, with mosaics `part_rows` `(4 n,)` and `part_planes` `(4 n, K)`.
        """
        found = _selection("", self.rows, self.planes, self.slots)
        if self.partners:
            found |= _selection("other_", self.partners, self.partner_planes, self.slots)
        if self.mosaics:
            rows = [row for four in self.mosaics for row in four]
            found |= _selection("part_", rows, [part for four in self.mosaic_planes for part in four], self.slots)
        return found

    @property
    def slots(self) -> int:
        return max(1, *map(len, self.classes))


def plan_batch(
    images: Sequence[Annotation], settings: MixingSettings, grid: tuple[int, int], rng: np.random.Generator
) -> Plan:
    """
    Args:
        images: those that are not labelled are not mixed with others and come after them.
        grid: rows and columns of patches.
        rng: the choices depend on its state only.

    Raises:
        InputError: if there are to be mosaics, and the grid is odd.
    """
    if settings.mosaics and (grid[0] % 2 or grid[1] % 2):
        raise InputError(
            f"--mosaics needs an even number of patches in both directions, got {grid[0]} x {grid[1]}: choose another "
            "--image_size."
        )
    rows = list(range(len(images)))
    alphas = {name: alpha for name in ("mixup", "cutmix") if (alpha := getattr(settings, name))}
    real = [row for row in rows if images[row].is_labelled]
    plan = None
    if alphas and len(real) > 1 and rng.random() < settings.mixing_rate:
        name, alpha = list(alphas.items())[rng.integers(len(alphas))]
        share = float(rng.beta(alpha, alpha))
        others = [row for row in rows if not images[row].is_labelled]
        partners = [real[i] for i in rng.permutation(len(real))] + others
        plan = _mixed(images, real + others, partners, share, grid, name == "cutmix", rng)
    if plan is None:
        classes = [_ordered(image.labels, image.planes) for image in images]
        plan = Plan(rows, classes, [list(map(image.plane, c)) for image, c in zip(images, classes, strict=True)])
    masked = [row for row in rows if images[row].planes]
    for _ in range(round(settings.mosaics * len(masked))):
        four = [masked[i] for i in rng.integers(len(masked), size=4)]
        shown = sorted({label for row in four for label in images[row].planes})
        plan.classes.append(shown)
        plan.mosaics.append(four)
        plan.mosaic_planes.append([list(map(images[row].plane, shown)) for row in four])
    return plan


def _mixed(
    images: Sequence[Annotation],
    rows: list[int],
    partners: list[int],
    share: float,
    grid: tuple[int, int],
    cut: bool,
    rng: np.random.Generator,
) -> Plan:
    box = random_box(share, grid, rng) if cut else None
    if box is not None:
        share = 1 - (box[2] - box[0]) * (box[3] - box[1]) / (grid[0] * grid[1])
    plan = Plan(rows, [], [], partners, [], share, box)
    for first, second in zip(map(images.__getitem__, rows), map(images.__getitem__, partners), strict=True):
        # The object of an image without a mask could be anywhere, and after MixUp at every place.
        known = bool(first.planes or second.planes) if cut else bool(first.planes and second.planes)
        shown = sorted({*first.planes, *second.planes, *first.labels, *second.labels}) if known else ()
        classes = _ordered(first.labels, shown)
        plan.classes.append(classes)
        plan.planes.append([first.plane(label) if known else _UNKNOWN for label in classes])
        plan.partner_planes.append([second.plane(label) if known else _UNKNOWN for label in classes])
    return plan


def random_box(share: float, grid: tuple[int, int], rng: np.random.Generator) -> Box:
    """A random box of the grid's shape that leaves about `share` of the grid."""
    height, width = (min(side, round(side * (1 - share) ** 0.5)) for side in grid)
    top, left = int(rng.integers(grid[0] - height + 1)), int(rng.integers(grid[1] - width + 1))
    return top, left, top + height, left + width


def carry_out(
    plan: Plan,
    pixel_values: torch.Tensor,
    planes: torch.Tensor,
    plane_rows: torch.Tensor,
    indices: Mapping[str, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        pixel_values: `(n, channels, height, width)`.
        planes: `(m, h, w)`, the fraction of each patch that a mask covers; -100 where it is unknown, and below 0 where
            the class is possible, as in `mask_labels`.
        plane_rows: `(m,)`, the image of each plane.
        indices: of the plan, on the device of the planes.

    Returns:
        `pixel_values` of the batch, and `mask_labels` `(batch, K, h, w)`.
    """
    indices, grid = plan.indices() if indices is None else indices, planes.shape[-2:]
    # A patch that is unknown in all masks of an image is unknown for every class.
    known = planes.new_zeros(len(pixel_values), *grid).index_add_(0, plane_rows, (planes != IGNORE).to(planes))
    has_planes = torch.zeros(len(pixel_values), dtype=torch.bool, device=planes.device)
    has_planes = has_planes.index_fill_(0, plane_rows, True)
    unknown = (known == 0) & has_planes.reshape(-1, 1, 1)
    planes = torch.cat((planes, planes.new_zeros(1, *grid), planes.new_full((1, *grid), IGNORE)))

    def chosen(prefix: str) -> tuple[torch.Tensor, torch.Tensor]:
        row = indices[f"{prefix}rows"]
        masks = planes[indices[f"{prefix}planes"]]
        return row, masks.masked_fill(unknown[row].unsqueeze(1), float(IGNORE))

    row, masks = chosen("")
    pixels = pixel_values[row]
    if plan.partners:
        other_row, other_masks = chosen("other_")
        pixels, masks = _mix(plan, (pixels, masks), (pixel_values[other_row], other_masks))
    if plan.mosaics:
        row, part_masks = chosen("part_")
        half = [side // 2 for side in pixels.shape[-2:]]
        small = nn.functional.interpolate(pixel_values[row], half, mode="bilinear", antialias=True, align_corners=False)
        least = -nn.functional.max_pool2d(-part_masks, 2)  # below 0 if one of the patches is unknown or possible
        part_masks = torch.where(least < 0, least, nn.functional.avg_pool2d(part_masks, 2))
        pixels = torch.cat((pixels, _tiled(small)))
        masks = torch.cat((masks, _tiled(part_masks)))
    return pixels, masks


Images = tuple[torch.Tensor, torch.Tensor]


def _mix(plan: Plan, first: Images, second: Images) -> Images:
    """Pixels and masks of two images each."""
    (pixels, masks), (other_pixels, other_masks) = first, second
    if plan.box is None:
        open_patches = (masks == IGNORE) | (other_masks == IGNORE)
        possible = (masks < 0) | (other_masks < 0)  # in one image, with its share as the weight of the statement
        least = torch.lerp(other_masks.clamp(max=0), masks.clamp(max=0), plan.share)
        masks = torch.where(possible, least, torch.lerp(other_masks, masks, plan.share))
        masks = masks.masked_fill(open_patches, float(IGNORE))
        return torch.lerp(other_pixels, pixels, plan.share), masks
    top, left, bottom, right = plan.box
    patch_height, patch_width = (a // b for a, b in zip(pixels.shape[-2:], masks.shape[-2:], strict=True))
    rows, columns = slice(top * patch_height, bottom * patch_height), slice(left * patch_width, right * patch_width)
    pixels[..., rows, columns] = other_pixels[..., rows, columns]
    masks[..., top:bottom, left:right] = other_masks[..., top:bottom, left:right]
    return pixels, masks


def _tiled(parts: torch.Tensor) -> torch.Tensor:
    """From `(4 n, channels, height, width)` to n images `(n, channels, 2 height, 2 width)`."""
    parts = parts.unflatten(0, (-1, 2, 2)).permute(0, 3, 1, 4, 2, 5)
    return parts.flatten(4, 5).flatten(2, 3)


def _ordered(labels: Iterable[int], masked: Iterable[int]) -> list[int]:
    """The labels first, so that a metric finds them, then the other classes with masks."""
    return list(dict.fromkeys((*labels, *masked)))


def _selection(prefix: str, rows: list[int], planes: list[list[int]], slots: int) -> dict[str, torch.Tensor]:
    return {f"{prefix}rows": torch.tensor(rows), f"{prefix}planes": _padded(planes, slots, _UNKNOWN)}


def _padded(lists: Sequence[Sequence[int]], width: int, value: int) -> torch.Tensor:
    return torch.tensor([[*some, *[value] * (width - len(some))] for some in lists], dtype=torch.long)
