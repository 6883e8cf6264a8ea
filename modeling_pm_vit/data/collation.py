"""Collation of examples with masks of one class, of several classes, or of none; adds mosaics, MixUp and CutMix."""

from collections.abc import Mapping
from typing import Any

import torch

from ..explanation_pm_vit import IGNORE
from ..utils.errors import InputError
from .mixing import classes_of, cutmix, mixup, random_box
from .mosaic import mosaic


class Collator:
    """
    Makes a batch for the model of the examples of [`ExampleTransform`].

    `mask_labels` `(batch, K, h, w)` and `explain_labels` `(batch, K)` have one slot for each class of the image with
    the most classes, at least one; empty slots are -100. The first slots are always those of the image's labels, with
    or without a mask, so that a metric can use them.

    The random choices are seeded by the `seed` of the batch's first example, if it has one: the same batch is then
    mixed in the same way every time. A batch of mixed images also has `other_labels` and `label_shares` `(batch,)` (see
    [`mixup`]), unless its images have several labels each. `bad_samples` lists the messages of skipped rows;
    `unlabelled_images` is the number of images without a known label, but with a mask, if there are any.

    Args:
        mosaics: number of mosaics to add, as a share of the batch's images with masks.
        mixup, cutmix: parameter alpha of the Beta distribution of the first image's share; 0 for none. With both, each
            batch gets one of them at random.
    """

    def __init__(self, mosaics: float = 0.0, mixup: float = 0.0, cutmix: float = 0.0):
        for name, value in (("mosaics", mosaics), ("mixup", mixup), ("cutmix", cutmix)):
            if value < 0:
                raise InputError(f"--{name} must be at least 0, got {value}.")
        self.mosaics = mosaics
        self.alphas = {name: alpha for name, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha}

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        bad = [example["bad_sample"] for example in examples if "bad_sample" in example]
        mosaics: list[dict[str, Any]] = []
        if self.mosaics or self.alphas:
            with torch.random.fork_rng(devices=[]):
                if "seed" in examples[0]:
                    torch.manual_seed(examples[0]["seed"])
                examples, mosaics = self._mix(examples), self._mosaics(examples)
        unlabelled = sum(not _has_label(example) and len(example["explain_labels"]) > 0 for example in examples)
        examples = examples + mosaics
        slots = [_labels_first(example["explain_labels"].tolist(), example["labels"]) for example in examples]
        grid = examples[0]["mask_labels"].shape[-2:]
        width = max(1, *(len(classes) for classes in slots))
        mask_labels = torch.full((len(examples), width, *grid), float(IGNORE))
        explain_labels = torch.full((len(examples), width), IGNORE)
        for row, (example, classes) in enumerate(zip(examples, slots, strict=True)):
            explain_labels[row, : len(classes)] = torch.tensor(classes, dtype=torch.long)
            known = example["explain_labels"].tolist()
            for slot, label in enumerate(classes):
                if label in known:
                    mask_labels[row, slot] = example["mask_labels"][known.index(label)]
        batch: dict[str, Any] = {
            "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
            "labels": torch.stack([torch.as_tensor(example["labels"]) for example in examples]),
            "mask_labels": mask_labels,
            "explain_labels": explain_labels,
        }
        if self.alphas and batch["labels"].ndim == 1:
            batch["other_labels"] = torch.tensor([e.get("other_labels", IGNORE) for e in examples])
            batch["label_shares"] = torch.tensor([float(e.get("label_shares", 1)) for e in examples])
        if bad:
            batch["bad_samples"] = bad
        if unlabelled:
            batch["unlabelled_images"] = torch.tensor(unlabelled)
        return batch

    def _mosaics(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        masked = [example for example in examples if len(example["explain_labels"])]
        count = round(self.mosaics * len(masked))
        return [mosaic([masked[i] for i in torch.randint(len(masked), (4,))]) for _ in range(count)]

    def _mix(self, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        real = [example for example in examples if _has_label(example)]  # no padding samples
        if not self.alphas or len(real) < 2:
            return examples
        name, alpha = list(self.alphas.items())[torch.randint(len(self.alphas), ())]
        share = _beta(alpha)
        partners = [real[i] for i in torch.randperm(len(real))]
        if name == "mixup":
            mixed = [mixup(a, b, share) for a, b in zip(real, partners, strict=True)]
        else:
            box = random_box(share, tuple(real[0]["mask_labels"].shape[-2:]))
            mixed = [cutmix(a, b, box) for a, b in zip(real, partners, strict=True)]
        return mixed + [example for example in examples if not _has_label(example)]


def _beta(alpha: float) -> float:
    # `torch.distributions.Beta.sample` uses the global generator, as `torch.manual_seed` sets it.
    return float(torch.distributions.Beta(alpha, alpha).sample())


def image_labels(batch: Mapping[str, Any]) -> torch.Tensor:
    """One value per image, and -100 for what is none: padding samples and mosaics."""
    labels: torch.Tensor = batch["labels"]
    known = labels if labels.ndim == 1 else labels.amax(-1)
    return torch.cat((known, labels.new_zeros(int(batch.get("unlabelled_images", 0)))))


def _has_label(example: Mapping[str, Any]) -> bool:
    return bool((torch.as_tensor(example["labels"]) != IGNORE).any())


def _labels_first(classes: list[int], labels: int | torch.Tensor) -> list[int]:
    first = classes_of(labels).tolist()
    return first + [c for c in classes if c not in first]
