"""Self-training: the maps of a trained PM-ViT become masks for the next training."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from .method import PseudoMask


class SelfTraining:
    """
    Makes masks of the PM-ViT maps of the images' classes.

    There is no mask if the map is below the threshold everywhere. The score is the mean probability within the mask
    times the probability that the image shows its class.

    Args:
        model: a PM-ViT trained with masks.
        processor: of the model.
        class_ids: for each class of the dataset its index in the model; `None` if they are the same.
        threshold: smallest probability of a pixel of the object.
    """

    def __init__(
        self,
        model: PMViTForImageClassification,
        processor: PMViTImageProcessor,
        class_ids: Sequence[int] | None = None,
        threshold: float = 0.5,
    ):
        self.model, self.processor = model.eval(), processor
        self.class_ids, self.threshold = class_ids, threshold
        size = [processor.size["height"], processor.size["width"]]
        self.settings: Mapping[str, Any] = {"threshold": threshold, "image_size": size}

    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        ids = labels if self.class_ids is None else [self.class_ids[label] for label in labels]
        pixel_values = self.processor(list(images), return_tensors="pt")["pixel_values"]
        prediction = self.model.predict(pixel_values, torch.tensor(ids).unsqueeze(1))
        sizes = [(image.height, image.width) for image in images]
        explanations = self.processor.post_process_explanations(prediction, sizes, self.model.config.id2label)
        masks: list[PseudoMask | None] = []
        for explanation in explanations:
            heatmap = explanation["heatmaps"][0].numpy()
            inside = heatmap[heatmap >= self.threshold]
            if len(inside):
                score = float(inside.mean()) * explanation["scores"].item()
                masks.append(PseudoMask(heatmap, score, self.threshold))
            else:
                masks.append(None)
        return masks
