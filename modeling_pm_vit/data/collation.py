"""Batches in which some images have masks, of one class or of several, and others have none."""

import torch

from ..image_processing_pm_vit import IGNORE
from .mosaic import mosaic


class Collator:
    """
    Examples as [`Examples`] makes them, as a batch that the model takes.

    `mask_labels` `(batch, K, h, w)` and `explain_labels` `(batch, K)` have as many slots as the image with the most
    classes, at least one; empty slots hold -100. The first slot always explains the image's own label, with or without
    a mask, so that a metric can look there.

    Args:
        mosaics: how many mosaics of four to add, as a share of the batch's images that have masks.
    """

    def __init__(self, mosaics: float = 0.0):
        if mosaics < 0:
            raise ValueError(f"the share of mosaics must be at least 0, got {mosaics}.")
        self.mosaics = mosaics

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor]:
        masked = [example for example in examples if len(example["explain_labels"])]
        if masked:
            examples = examples + [
                mosaic([masked[i] for i in torch.randint(len(masked), (4,))])
                for _ in range(round(self.mosaics * len(masked)))
            ]
        slots = [_own_class_first(example["explain_labels"].tolist(), example["labels"]) for example in examples]
        grid = examples[0]["mask_labels"].shape[-2:]
        width = max(len(classes) for classes in slots)
        mask_labels = torch.full((len(examples), width, *grid), float(IGNORE))
        explain_labels = torch.full((len(examples), width), IGNORE)
        for row, (example, classes) in enumerate(zip(examples, slots, strict=True)):
            explain_labels[row, : len(classes)] = torch.tensor(classes, dtype=torch.long)
            known = example["explain_labels"].tolist()
            for slot, label in enumerate(classes):
                if label in known:
                    mask_labels[row, slot] = example["mask_labels"][known.index(label)]
        return {
            "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
            "labels": torch.tensor([example["labels"] for example in examples]),
            "mask_labels": mask_labels,
            "explain_labels": explain_labels,
        }


def _own_class_first(classes: list[int], label: int) -> list[int]:
    own = [] if label == IGNORE else [label]
    return own + [c for c in classes if c != label]
