"""Batches in which some images have masks, of one class or of several, and others have none."""

import torch

from ..image_processing_pm_vit import IGNORE
from .mixing import cutmix, mixup, random_box
from .mosaic import mosaic


class Collator:
    """
    Examples as [`ExampleTransform`] makes them, as a batch that the model takes.

    `mask_labels` `(batch, K, h, w)` and `explain_labels` `(batch, K)` have as many slots as the image with the most
    classes, at least one; empty slots hold -100. The first slot always explains the image's own label, with or without
    a mask, so that a metric can look there.

    What is mixed is drawn from the `seed` of the batch's first example, where it has one, and then the same whenever
    the same batch is made. A batch of mixed images has `other_labels` and `label_shares` `(batch,)` as well (see
    [`mixup`]); `bad_samples` lists what was skipped.

    Args:
        mosaics: how many mosaics of four to add, as a share of the batch's images that have masks.
        mixup, cutmix: the parameter alpha of the Beta distribution from which the share of the first image is drawn;
            0 for none. With both, each batch gets one of them.
    """

    def __init__(self, mosaics: float = 0.0, mixup: float = 0.0, cutmix: float = 0.0):
        for name, value in (("share of mosaics", mosaics), ("alpha of mixup", mixup), ("alpha of cutmix", cutmix)):
            if value < 0:
                raise ValueError(f"the {name} must be at least 0, got {value}.")
        self.mosaics = mosaics
        self.alphas = {name: alpha for name, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha}

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor]:
        bad = [example["bad_sample"] for example in examples if "bad_sample" in example]
        if self.mosaics or self.alphas:
            with torch.random.fork_rng(devices=[]):
                if "seed" in examples[0]:
                    torch.manual_seed(examples[0]["seed"])
                examples = self._mixed(examples) + self._mosaics(examples)
        slots = [_own_class_first(example["explain_labels"].tolist(), example["labels"]) for example in examples]
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
        batch = {
            "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
            "labels": torch.tensor([example["labels"] for example in examples]),
            "mask_labels": mask_labels,
            "explain_labels": explain_labels,
        }
        if self.alphas:
            batch["other_labels"] = torch.tensor([e.get("other_labels", IGNORE) for e in examples])
            batch["label_shares"] = torch.tensor([float(e.get("label_shares", 1)) for e in examples])
        if bad:
            batch["bad_samples"] = bad
        return batch

    def _mosaics(self, examples: list[dict]) -> list[dict]:
        masked = [example for example in examples if len(example["explain_labels"])]
        count = round(self.mosaics * len(masked))
        return [mosaic([masked[i] for i in torch.randint(len(masked), (4,))]) for _ in range(count)]

    def _mixed(self, examples: list[dict]) -> list[dict]:
        real = [example for example in examples if example["labels"] != IGNORE]
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
        return mixed + [example for example in examples if example["labels"] == IGNORE]


def _beta(alpha: float) -> float:
    # `torch.distributions.Beta.sample` uses the global generator, as `torch.manual_seed` sets it.
    return float(torch.distributions.Beta(alpha, alpha).sample())


def _own_class_first(classes: list[int], label: int) -> list[int]:
    own = [] if label == IGNORE else [label]
    return own + [c for c in classes if c != label]
