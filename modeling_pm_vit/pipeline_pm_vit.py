"""The task `image-explanation`: what is in the image, how sure, and where."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Pipeline

from .image_processing_pm_vit import Prediction, load_image


class ImageExplanationPipeline(Pipeline):
    """
    `pipeline("image-explanation")`: for an image (path, URL, PIL image) or a list of images, the most probable classes,
    each with the place where it is seen.

    Call arguments:
        top_k (`int`, *optional*, defaults to 1): how many classes to explain, the most probable first.
        threshold (`float`, *optional*, defaults to 0.5): probability from which a pixel belongs to a class.

    Returns, for each image, a list of dictionaries, one a class:
        - **label** (`str`), **score** (`float`): the class and the probability that the image shows it;
        - **mask** (`PIL.Image.Image`): mode L, of the image's size, 255 where the class is, 0 elsewhere;
        - **box** (`dict` of `xmin`, `ymin`, `xmax`, `ymax`): around the mask's largest part, in pixels, the ends
          exclusive; `None` where the mask is empty.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def _sanitize_parameters(self, top_k: int | None = None, threshold: float | None = None):
        forward = {} if top_k is None else {"top_k": top_k}
        postprocess = {} if threshold is None else {"threshold": threshold}
        return {}, forward, postprocess

    def preprocess(self, image):
        image = load_image(image)
        inputs = self.image_processor(image, return_tensors="pt").to(self.dtype)
        return {"pixel_values": inputs["pixel_values"], "target_size": torch.tensor([[image.height, image.width]])}

    def _forward(self, model_inputs, top_k: int = 1):
        target_size = model_inputs.pop("target_size")
        top_k = min(top_k, self.model.config.num_labels)
        outputs = self.model(**model_inputs, explain_labels=top_k, return_dict=True)
        return vars(Prediction.from_outputs(outputs, self.model.config)) | {"target_size": target_size}

    def postprocess(self, model_outputs: dict[str, torch.Tensor], threshold: float = 0.5) -> list[dict[str, Any]]:
        sizes = model_outputs.pop("target_size").tolist()
        (explanation,) = self.image_processor.post_process_explanations(
            Prediction(**model_outputs), sizes, self.model.config.id2label, threshold
        )
        return [
            record | {"mask": Image.fromarray(mask.numpy().astype(np.uint8) * 255)}
            for record, mask in zip(self.image_processor.to_records(explanation), explanation["masks"], strict=True)
        ]


__all__ = ["ImageExplanationPipeline"]
