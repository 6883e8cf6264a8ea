"""MixUp (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) of two examples and their masks.

The mixed image has two classes. A mixed example is one of [`ExampleTransform`] with two more keys: `other_labels`, the
second class, and `label_shares`, the weight of the first class. Of images with several labels each the labels are mixed
themselves, and are -100 where one is.
"""

from typing import Any

import torch

from ..explanation_pm_vit import IGNORE


def mixup(first: dict[str, Any], second: dict[str, Any], share: float) -> dict[str, Any]:
    """
    The weighted sum of both images, with weight `share` for the first. Masks are weighted in the same way; unless both
    are known, none is, because the object of the other image could be anywhere.
    """
    classes, (a, b) = _on_common_classes(first, second)
    if not len(first["explain_labels"]) or not len(second["explain_labels"]):
        classes, a, b = classes[:0], a[:0], b[:0]
    return {
        "pixel_values": share * first["pixel_values"] + (1 - share) * second["pixel_values"],
        "mask_labels": torch.where((a < 0) | (b < 0), float(IGNORE), share * a + (1 - share) * b),
        "explain_labels": classes,
        **_labels(first, second, share),
    }


def cutmix(first: dict[str, Any], second: dict[str, Any], box: tuple[int, int, int, int]) -> dict[str, Any]:
    """
    The first image with a box of the second at the same position. The patches in the box have the second image's mask,
    or an unknown one if it has none. Each image's classes are known to be absent from the other image's part.

    Args:
        box: top, left, bottom, right in patches, ends exclusive.
    """
    classes, (a, b) = _on_common_classes(first, second)
    grid = a.shape[-2:]
    scale = [side // patches for side, patches in zip(first["pixel_values"].shape[-2:], grid, strict=True)]
    top, left, bottom, right = box
    masks, pixels = a.clone(), first["pixel_values"].clone()
    masks[:, top:bottom, left:right] = b[:, top:bottom, left:right]
    rows, columns = slice(top * scale[0], bottom * scale[0]), slice(left * scale[1], right * scale[1])
    pixels[:, rows, columns] = second["pixel_values"][:, rows, columns]
    share = 1 - (bottom - top) * (right - left) / (grid[0] * grid[1])
    return {"pixel_values": pixels, "mask_labels": masks, "explain_labels": classes, **_labels(first, second, share)}


def random_box(share: float, grid: tuple[int, int]) -> tuple[int, int, int, int]:
    """A random box of the grid's aspect ratio that leaves about `share` of the grid; from torch's generator."""
    sides = [min(n, round(n * (1 - share) ** 0.5)) for n in grid]
    top, left = (int(torch.randint(n - side + 1, ())) for n, side in zip(grid, sides, strict=True))
    return top, left, top + sides[0], left + sides[1]


def _on_common_classes(first: dict[str, Any], second: dict[str, Any]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """
    The union of both masks' classes and of those in the labels, and each mask `(K, h, w)` for them; -100 for an example
    without a mask. K = 0 if neither has one.
    """
    classes = torch.cat((first["explain_labels"], second["explain_labels"]))
    if len(classes):
        classes = torch.cat((classes, classes_of(first["labels"]), classes_of(second["labels"]))).unique()
    planes = []
    for example in (first, second):
        known = example["explain_labels"]
        full = torch.full((len(classes), *example["mask_labels"].shape[-2:]), 0.0 if len(known) else float(IGNORE))
        for label, plane in zip(known, example["mask_labels"], strict=True):
            full[classes == label] = plane
        if len(known):  # a patch that is unknown in the mask is unknown for every class
            full[:, (example["mask_labels"] == IGNORE).all(0)] = IGNORE
        planes.append(full)
    return classes, planes


def classes_of(labels: int | torch.Tensor) -> torch.Tensor:
    """The classes that the labels of an example name, `(n,)`; none for -100."""
    if isinstance(labels, torch.Tensor):
        return (labels > 0).nonzero().flatten()
    return torch.tensor([] if labels == IGNORE else [labels], dtype=torch.long)


def _labels(first: dict[str, Any], second: dict[str, Any], share: float) -> dict[str, Any]:
    a, b = first["labels"], second["labels"]
    if isinstance(a, torch.Tensor):
        return {"labels": torch.where((a == IGNORE) | (b == IGNORE), float(IGNORE), share * a + (1 - share) * b)}
    return {"labels": a, "other_labels": b, "label_shares": share}
