"""The pipeline task `image-explanation`: classes of an image, their probabilities and where they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Pipeline

from .explanation_pm_vit import Prediction, class_indices
from .image_loading_pm_vit import load_image
from .image_processing_pm_vit import PMViTImageProcessor


class ImageExplanationPipeline(Pipeline):
    """
    `pipeline("image-explanation")`: the most probable classes of an image (path, URL, PIL image) or a list of images,
    and where they are.

    Call arguments:
        top_k (`int`, *optional*, defaults to 1): number of classes to explain, the most probable first.
        labels (`str` or list of `str` or `int`, *optional*): classes to explain instead, by name or index, probable or
            not.
        threshold (`float`, *optional*, defaults to 0.5): probability from which a pixel belongs to a class.

    Returns, for each image, a list of dictionaries, one per class:
        - **label** (`str`), **score** (`float`): the class and the probability that the image shows it;
        - **mask** (`PIL.Image.Image`): mode L, the size of the image, 255 where the class is, 0 elsewhere;
        - **box** (`dict` of `xmin`, `ymin`, `xmax`, `ymax`): around the largest part of the mask, in pixels, ends
          exclusive; `None` if the mask is empty.
    """

    # Typed as `None` in the base class.
    _load_processor: Any = False
    _load_image_processor: Any = True
    _load_feature_extractor: Any = False
    _load_tokenizer: Any = False
    image_processor: PMViTImageProcessor

    # The base class takes any keywords, where each pipeline has its own.

    def _sanitize_parameters(  # type: ignore[override]
        self,
        top_k: int | None = None,
        labels: str | Sequence[int | str] | None = None,
        threshold: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        config: Any = self.model.config
        chosen = top_k is not None or labels is not None
        forward = {"classes": class_indices(labels, top_k, config)} if chosen else {}
        postprocess: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
        return {}, forward, postprocess

    def preprocess(self, image: Any) -> dict[str, torch.Tensor]:  # type: ignore[override]
        image = load_image(image)
        inputs = self.image_processor(image, return_tensors="pt").to(self.dtype)
        return {"pixel_values": inputs["pixel_values"], "target_size": torch.tensor([[image.height, image.width]])}

    def _forward(  # type: ignore[override]
        self, model_inputs: dict[str, torch.Tensor], classes: int | list[int] = 1
    ) -> dict[str, torch.Tensor]:
        target_size = model_inputs.pop("target_size")
        config: Any = self.model.config
        explain_labels = classes if isinstance(classes, int) else torch.tensor([classes] * len(target_size))
        outputs = self.model(**model_inputs, explain_labels=explain_labels, return_dict=True)
        return vars(Prediction.from_outputs(outputs, config)) | {"target_size": target_size}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, torch.Tensor], threshold: float = 0.5
    ) -> list[dict[str, Any]]:
        config: Any = self.model.config
        sizes = model_outputs.pop("target_size").tolist()
        (explanation,) = self.image_processor.post_process_explanations(
            Prediction(**model_outputs), sizes, config.id2label, threshold
        )
        return [
            record | {"mask": Image.fromarray(mask.numpy().astype(np.uint8) * 255)}
            for record, mask in zip(self.image_processor.to_records(explanation), explanation["masks"], strict=True)
        ]


__all__ = ["ImageExplanationPipeline"]
