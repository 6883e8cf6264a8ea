"""`Trainer` that shows both terms of the loss and judges classes and maps."""

import numpy as np
import torch
from transformers import EvalPrediction, Trainer

from ..data.collation import Collator
from ..evaluation.masks import energy_inside, intersection_over_union
from ..image_processing_pm_vit import IGNORE
from ..modeling_pm_vit import PMViTForImageClassification


class PMViTTrainer(Trainer):
    """
    [`Trainer`] for PM-ViT. Logs `classification_loss` and `mask_loss` beside `loss`, and evaluates `accuracy`,
    `patch_iou` and `energy_inside` (see [`explanation_metrics`]).

    Args:
        mosaics: see [`Collator`]; in training only.
    """

    def __init__(self, *args, mosaics: float = 0.0, **kwargs):
        super().__init__(*args, data_collator=Collator(), compute_metrics=explanation_metrics, **kwargs)
        self._training_collator = Collator(mosaics)
        self._terms: dict[str, list[torch.Tensor]] = {"classification_loss": [], "mask_loss": []}

    def get_train_dataloader(self):
        evaluation_collator, self.data_collator = self.data_collator, self._training_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = evaluation_collator

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if model.training:
            for name, terms in self._terms.items():
                terms.append(outputs[name].detach())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs:
            steps = self.args.gradient_accumulation_steps
            for name, terms in self._terms.items():
                if terms:
                    logs[name] = torch.stack(terms).mean().item() * steps
                    terms.clear()
        super().log(logs, *args, **kwargs)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """The loss, and for each image the logits and the probabilities of its own class at every patch."""
        with torch.no_grad():
            inputs = self._prepare_inputs(inputs)
            outputs = model(**inputs)
        maps = outputs.mask_logits[:, 0].sigmoid()
        return outputs.loss, (outputs.logits, maps), (inputs["labels"], inputs["mask_labels"][:, 0])


def explanation_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    `accuracy` (top-1), and over the images that have a mask of their own class, on the grid of patches: `patch_iou`,
    the mean intersection over union of 'probability at least 0.5' with 'covered at least by half', and
    `energy_inside`, the mean share of the map's mass in patches covered at least by half.
    """
    logits, maps = prediction.predictions
    labels, mask_labels = prediction.label_ids
    metrics = {"accuracy": float((logits.argmax(-1) == labels).mean())}
    masked = (mask_labels != IGNORE).any((-2, -1))
    if masked.any():
        covered = mask_labels[masked] >= 0.5
        metrics["patch_iou"] = float(np.mean(intersection_over_union(maps[masked] >= 0.5, covered)))
        metrics["energy_inside"] = float(np.mean(energy_inside(maps[masked], covered)))
    return metrics


def freeze_layers(model: PMViTForImageClassification, count: int) -> None:
    """Keep the embeddings and the first `count` layers as they are (nothing for 0)."""
    layers = model.vit.layers
    if not 0 <= count <= len(layers):
        raise ValueError(f"the number of frozen layers must lie in 0 ... {len(layers)}, got {count}.")
    if count:
        model.vit.embeddings.requires_grad_(False)
    for layer in layers[:count]:
        layer.requires_grad_(False)
