"""Batches in which some images have masks, of one class or of several, and others have none."""

import torch

IGNORE = -100


def collate(examples: list[dict]) -> dict[str, torch.Tensor]:
    """
    Examples as `Examples` makes them, as a batch that the model takes.

    `mask_labels` `(batch, K, h, w)` and `explain_labels` `(batch, K)` have as many slots as the image with the most
    masks, at least one; empty slots hold -100. The first slot always explains the image's own label, with or without
    a mask, so that a metric can look there.
    """
    labels = torch.tensor([example["labels"] for example in examples])
    slots = [_own_class_first(e["explain_labels"].tolist(), e["labels"]) for e in examples]
    grid = examples[0]["mask_labels"].shape[-2:]
    width = max(len(classes) for classes in slots)
    mask_labels = torch.full((len(examples), width, *grid), float(IGNORE))
    explain_labels = torch.full((len(examples), width), IGNORE)
    for row, (example, classes) in enumerate(zip(examples, slots, strict=True)):
        explain_labels[row, : len(classes)] = torch.tensor(classes)
        known = example["explain_labels"].tolist()
        for slot, label in enumerate(classes):
            if label in known:
                mask_labels[row, slot] = example["mask_labels"][known.index(label)]
    return {
        "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
        "labels": labels,
        "mask_labels": mask_labels,
        "explain_labels": explain_labels,
    }


def _own_class_first(classes: list[int], label: int) -> list[int]:
    return [label] + [c for c in classes if c != label]
