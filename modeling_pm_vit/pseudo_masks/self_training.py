"""Self-training: what a PM-ViT of an earlier round says of where an image's class is."""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image

from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..pipeline_pm_vit import class_probabilities
from .method import PseudoMask


class SelfTraining:
    """
    Masks by a PM-ViT's own maps of the images' classes.

    No mask is given where the map reaches the threshold nowhere. The score is the mean probability within the mask
    times the probability that the image shows its class.

    Args:
        model: trained with masks.
        processor: for the model.
        class_ids: for each class of the source its index in the model; `None` where they are the same.
        threshold: probability from which a pixel belongs to the object.
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
        self.settings: Mapping = {"threshold": threshold, "image_size": size}

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        ids = labels if self.class_ids is None else [self.class_ids[label] for label in labels]
        pixel_values = self.processor(list(images), return_tensors="pt")["pixel_values"]
        pixel_values = pixel_values.to(self.model.device, self.model.dtype)
        outputs = self.model(pixel_values, explain_labels=torch.tensor(ids).unsqueeze(1), return_dict=True)
        scores = class_probabilities(outputs.logits, self.model.config)
        explained = self.processor.post_process_masks(outputs, [(image.height, image.width) for image in images])
        found: list[PseudoMask | None] = []
        for explanation, class_id, probabilities in zip(explained, ids, scores, strict=True):
            heatmap = explanation["heatmaps"][0].numpy()
            inside = heatmap[heatmap >= self.threshold]
            if len(inside):
                score = float(inside.mean()) * float(probabilities[class_id])
                found.append(PseudoMask(heatmap, score, self.threshold))
            else:
                found.append(None)
        return found
