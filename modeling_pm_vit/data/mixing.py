"""MixUp (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) of two examples and their masks.

An image then has two classes. Beside what [`ExampleTransform`] makes, an example gets `other_labels`, the second class,
and `label_shares`, how much the first one counts.
"""

import torch

from ..image_processing_pm_vit import IGNORE


def mixup(first: dict, second: dict, share: float) -> dict:
    """
    `share` of the first image and the rest of the second, pixel by pixel. Their masks fade with them; unless both are
    known, none is, for the other's object could be anywhere.
    """
    classes, (a, b) = _on_the_same_classes(first, second)
    if not len(first["explain_labels"]) or not len(second["explain_labels"]):
        classes, a, b = classes[:0], a[:0], b[:0]
    return {
        "pixel_values": share * first["pixel_values"] + (1 - share) * second["pixel_values"],
        "mask_labels": torch.where((a < 0) | (b < 0), float(IGNORE), share * a + (1 - share) * b),
        "explain_labels": classes,
        **_labels(first, second, share),
    }


def cutmix(first: dict, second: dict, box: tuple[int, int, int, int]) -> dict:
    """
    The first image with a box of the second at the same place. The patches in the box have the second's mask, or an
    unknown one where it has none; a class is known to be absent from the other's part.

    Args:
        box: top, left, bottom, right in patches, ends exclusive.
    """
    classes, (a, b) = _on_the_same_classes(first, second)
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
    """A box that leaves about `share` of a grid, of the grid's shape, anywhere; drawn from torch's generator."""
    sides = [min(n, round(n * (1 - share) ** 0.5)) for n in grid]
    top, left = (int(torch.randint(n - side + 1, ())) for n, side in zip(grid, sides, strict=True))
    return top, left, top + sides[0], left + sides[1]


def _on_the_same_classes(first: dict, second: dict) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The classes that either mask shows, and both masks `(K, h, w)` on them; -100 for an example without any."""
    classes = torch.cat((first["explain_labels"], second["explain_labels"])).unique()
    planes = []
    for example in (first, second):
        known = example["explain_labels"]
        full = torch.full((len(classes), *example["mask_labels"].shape[-2:]), 0.0 if len(known) else float(IGNORE))
        for label, plane in zip(known, example["mask_labels"], strict=True):
            full[classes == label] = plane
        if len(known):  # a patch that the mask leaves open is open for every class
            full[:, (example["mask_labels"] == IGNORE).any(0)] = IGNORE
        planes.append(full)
    return classes, planes


def _labels(first: dict, second: dict, share: float) -> dict:
    return {"labels": first["labels"], "other_labels": second["labels"], "label_shares": share}
