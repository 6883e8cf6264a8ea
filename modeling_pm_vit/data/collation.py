"""Collation of examples with masks of one class, of several classes, or of none; adds mosaics, MixUp and CutMix."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from ..explanation_pm_vit import IGNORE
from .augmentation.batch_parameters import batch_parameters
from .augmentation.device import Recipe, without_colours
from .augmentation.mixing import Annotation, MixingSettings, Plan, carry_out, plan_batch

Example = dict[str, Any]


class Collator:
    """
    Makes a batch for the model of the examples of [`ExampleTransform`].

    `mask_labels` `(batch, K, h, w)` and `explain_labels` `(batch, K)` have one slot for each class of the image with
    the most classes, at least one; empty slots are -100. The first slots are always those of the image's labels, with
    or without a mask, so that a metric can use them. `mask_rows` lists the images with a mask.

    The random choices are a function of the `seed` of the batch's first example, if it has one: the same batch is then
    mixed in the same way every time. A mixed image has the label of the first, and as `other_labels` `(batch,)` that of
    the second; `label_shares` `(batch,)` is the weight of the first. Where images have several labels each, the labels
    are mixed themselves, and are -100 where one is. A mosaic's labels are -100: it adds to the mask loss only.
    `bad_samples` lists the messages of skipped rows; `unlabelled_images` is the number of images without a known label,
    but with a mask, if there are any.

    A batch of examples of an `on_device` transform has `images`, `planes` and `recipe` for [`DeviceAugmentation`]
    instead of `pixel_values` and `mask_labels`.

    Args:
        grid: rows and columns of patches; by default those of the examples' masks.
        mixing: by default no image is mixed with others.
    """

    def __init__(self, grid: tuple[int, int] | None = None, mixing: MixingSettings | None = None):
        self.grid, self.mixing = grid, mixing or MixingSettings()

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        counts = [_number_of_masks(example) for example in examples]
        annotations, next_plane, next_weak = [], 0, sum(counts)
        for example, count in zip(examples, counts, strict=True):
            is_weak = bool(example.get("weak"))
            annotations.append(_annotation(example, next_weak if is_weak else next_plane, count or is_weak))
            next_plane, next_weak = next_plane + count, next_weak + is_weak
        grid = self.grid or tuple(examples[0]["mask_labels"].shape[-2:])
        seed = examples[0].get("seed")
        rng = np.random.default_rng(None if seed is None else (1, *np.atleast_1d(seed).tolist()))
        plan = plan_batch(annotations, self.mixing, grid, rng)
        batch = self._labels(examples, plan) | {"explain_labels": plan.explain_labels, "mask_rows": plan.mask_rows}
        if "image" in examples[0]:
            batch |= _to_finish(examples, plan)
        else:
            rows = [row for row, count in enumerate(counts) for _ in range(count)]
            batch["pixel_values"], batch["mask_labels"] = carry_out(
                plan,
                torch.stack([example["pixel_values"] for example in examples]),
                torch.cat([example["mask_labels"] for example in examples]),
                torch.tensor(rows, dtype=torch.long),
            )
        bad = [example["bad_sample"] for example in examples if "bad_sample" in example]
        if bad:
            batch["bad_samples"] = bad
        unlabelled = sum(not image.is_labelled and len(image.planes) > 0 for image in annotations)
        if unlabelled:
            batch["unlabelled_images"] = torch.tensor(unlabelled)
        return batch

    def _labels(self, examples: Sequence[Example], plan: Plan) -> dict[str, Any]:
        labels = torch.stack([torch.as_tensor(example["labels"]) for example in examples])
        first, mixes = labels[plan.rows], bool(self.mixing.mixup or self.mixing.cutmix)
        second = labels[plan.partners] if plan.partners else first
        unknown = torch.full((len(plan.mosaics), *labels.shape[1:]), IGNORE, dtype=labels.dtype)
        if labels.ndim > 1:
            if plan.partners:
                open_labels = (first == IGNORE) | (second == IGNORE)
                first = torch.lerp(second, first, plan.share).masked_fill(open_labels, float(IGNORE))
            return {"labels": torch.cat((first, unknown))}
        named = {"labels": torch.cat((first, unknown))}
        if mixes:
            shares = torch.full((len(first),), plan.share).masked_fill(first == IGNORE, 1.0)
            named["other_labels"] = torch.cat((second if plan.partners else torch.full_like(first, IGNORE), unknown))
            named["label_shares"] = torch.cat((shares, torch.ones(len(unknown))))
        return named


def _to_finish(examples: Sequence[Example], plan: Plan) -> dict[str, Any]:
    """The images in one tensor, each in the top left corner; the masks, and then what is unknown, in another."""
    sizes = [(example["image"].shape[-2], example["image"].shape[-1]) for example in examples]
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    images = _empty(len(examples), height, width, 3)  # as they were decoded: other orders cost a loading process more
    masks, unknown = [], []
    for row, example in enumerate(examples):
        rows, columns = sizes[row]
        images[row, :rows, :columns] = example["image"].permute(1, 2, 0)
        images[row, rows:], images[row, :rows, columns:] = 0, 0
        number = _number_of_masks(example)
        masks += [(row, plane) for plane in example["planes"][:number]]
        unknown += [(row, plane) for plane in example["planes"][number:]]
    planes = torch.zeros(len(masks) + len(unknown), height, width, dtype=torch.uint8)
    for place, (_, plane) in enumerate(masks + unknown):
        planes[place, : plane.shape[0], : plane.shape[1]] = plane
    augmentations = [example["augmentation"] for example in examples]
    plane_rows = [row for row, _ in masks + unknown]
    weak = [row for row, example in enumerate(examples) if example["weak"]]
    more = plan.indices()
    canvas, size, plain = (height, width), examples[0]["size"], None
    if weak:
        more |= {
            "weak_rows": torch.tensor(weak),
            "weak_classes": torch.tensor([examples[row]["labels"] for row in weak]),
        }
        quiet = [without_colours(augmentations[row]) for row in weak]
        plain = batch_parameters(quiet, [sizes[row] for row in weak], [], canvas, size)
    parameters = batch_parameters(augmentations, sizes, plane_rows, canvas, size, more)
    return {"images": images, "planes": planes, "recipe": Recipe(parameters, len(masks), plan, plain)}


def _empty(*shape: int) -> torch.Tensor:
    """Bytes; of a loading process in shared memory, so that they are not copied there when they are sent."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(prod(shape))  # as torch collates
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


def _number_of_masks(example: Example) -> int:
    return len(example["planes"]) - example["ignored"] if "image" in example else len(example["mask_labels"])


def _annotation(example: Example, first_plane: int, number: int) -> Annotation:
    """`number`: of its planes, which belong to the first of its classes."""
    labels = torch.as_tensor(example["labels"])
    one = [] if labels.ndim or labels == IGNORE else [int(labels)]
    shown = (labels > 0).nonzero().flatten().tolist() if labels.ndim else one
    planes = {
        label: first_plane + place if place < number else -1
        for place, label in enumerate(example["explain_labels"].tolist())
    }
    return Annotation(tuple(shown), planes, bool((labels != IGNORE).any()))


def image_labels(batch: Mapping[str, Any]) -> torch.Tensor:
    """One value per image, and -100 for what is none: padding samples and mosaics."""
    labels: torch.Tensor = batch["labels"]
    known = labels if labels.ndim == 1 else labels.amax(-1)
    return torch.cat((known, labels.new_zeros(int(batch.get("unlabelled_images", 0)))))
