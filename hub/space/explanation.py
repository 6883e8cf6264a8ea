"""The content of the app: classes of a photograph, the map of a class, the classes at a place. No user interface."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

TINT = np.array((213, 94, 0), np.float32)
SIDE = 768  # longest side of the picture that is shown, in pixels


@dataclass
class Explanation:
    """
    A photograph, the scores `(num_labels,)` of its classes, their maps, `masks` `(num_labels, rows, columns)`, and the
    doubt of a calibrated model: "unsure", "seen nowhere" or None.
    """

    image: Image.Image
    labels: list[str]
    scores: np.ndarray
    masks: np.ndarray
    doubt: str | None = None

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes and their scores."""
        return [(self.labels[k], float(self.scores[k])) for k in np.argsort(-self.scores)[:count]]

    def here(self, x: float, y: float, count: int = 5) -> dict[str, float]:
        """The most probable classes of the patch at a pixel of the image."""
        rows, columns = self.masks.shape[1:]
        row = min(rows - 1, max(0, int(y / self.image.height * rows)))
        column = min(columns - 1, max(0, int(x / self.image.width * columns)))
        patch = self.masks[:, row, column]
        return {self.labels[k]: float(patch[k]) for k in np.argsort(-patch)[:count]}

    def overlay(self, label: str, threshold: float, opacity: float) -> Image.Image:
        """The image, tinted by opacity times the probability of a class, with a white line around the threshold."""
        patches = Image.fromarray(self.masks[self.labels.index(label)])
        heatmap = np.asarray(patches.resize(self.image.size, Image.Resampling.BILINEAR))
        alpha = (opacity * heatmap)[..., None]
        canvas = np.asarray(self.image, np.float32) * (1 - alpha) + TINT * alpha
        mask = heatmap >= threshold
        inner = mask.copy()
        for _ in range(max(1, min(self.image.size) // 100)):
            padded = np.pad(inner, 1)
            inner &= padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        canvas[mask & ~inner] = 255
        return Image.fromarray(canvas.round().astype(np.uint8))


class Explainer:
    """A PM-ViT from the Hub or a folder, with the code that is published beside it. Called with a path or an image."""

    def __init__(self, source: str, revision: str | None = None):
        pinned = {"revision": revision, "trust_remote_code": True}
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = AutoModelForImageClassification.from_pretrained(source, **pinned).eval().to(device)
        self.processor = AutoImageProcessor.from_pretrained(source, **pinned)
        self.load_image = sys.modules[type(self.processor).__module__].load_image

    def __call__(self, source: str | Image.Image, predict: Callable[..., Any] | None = None) -> Explanation:
        """`predict` calls the method of this name, in the app where there is a GPU."""
        image = self.load_image(source).copy()
        scores, masks, doubt = (predict or self.predict)(self.processor(image, return_tensors="pt").pixel_values)
        image.thumbnail((SIDE, SIDE))
        labels = [self.model.config.id2label[k] for k in range(len(scores))]
        return Explanation(image, labels, scores, masks, doubt)

    def predict(self, pixel_values: torch.Tensor) -> tuple[np.ndarray, np.ndarray, Any]:
        """
        The scores `(num_labels,)` and maps `(num_labels, rows, columns)` of one image, and the doubt about it. The code
        is that of the model's version: version 0.1 has no `predict`, temperatures or doubts.
        """
        config = self.model.config
        if not hasattr(self.model, "predict"):
            with torch.no_grad():
                classes = torch.arange(config.num_labels)[None]
                outputs = self.model(pixel_values.to(self.model.device), explain_labels=classes)
            several = config.problem_type == "multi_label_classification" or config.num_labels == 1
            scores = outputs.logits.sigmoid() if several else outputs.logits.softmax(-1)
            return scores[0].cpu().numpy(), outputs.mask_logits[0].sigmoid().cpu().numpy(), None
        prediction = self.model.predict(pixel_values, range(config.num_labels))
        masks = prediction.mask_logits[0].sigmoid()
        doubts = prediction.doubts() if hasattr(prediction, "doubts") else [None]
        return prediction.scores[0].cpu().numpy(), masks.cpu().numpy(), doubts[0]
