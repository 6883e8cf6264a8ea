"""The pipeline task `image-explanation`: classes of an image, their probabilities and where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Pipeline

from .compiled_pm_vit import CompiledModel
from .explanation_pm_vit import Prediction, class_indices
from .image_loading_pm_vit import load_image
from .image_processing_pm_vit import PMViTImageProcessor
from .maps_pm_vit import MapSize, check_threshold


@dataclass
class _Numbered:
    """An image of a list, with its number for messages."""

    number: int
    image: Any


class ImageExplanationPipeline(Pipeline):
    """
    `pipeline("image-explanation")`: the most probable classes of an image, or of a list of images, and where they are.
    An image is what [`load_image`] takes: a path, URL, file as bytes, PIL image or array.

    With `pipeline(..., compile=True)` it calls a [`CompiledModel`], on a GPU with CUDA graphs: the first call takes a
    minute, later ones less than without.

    Call arguments:
        top_k (`int`, *optional*, defaults to 1): number of classes to explain, the most probable first.
        labels (`str` or list of `str` or `int`, *optional*): classes to explain instead, by name or index, probable or
            not.
        threshold (`float`, *optional*, defaults to 0.5): probability from which a pixel belongs to a class.
        instances (`int`, *optional*, defaults to 0): also return up to so many connected parts of each mask.
        min_area (`int`, *optional*, defaults to 1): of these parts, in pixels.
        maps (`bool`, *optional*, defaults to `False`): also return the maps of probabilities.
        map_size (`int`, `"grid"` or `tuple`, *optional*): size of these maps, as in
            [`PMViTForImageClassification.explain`]. Default: the size of the image.
        keep_aspect_ratio (`bool`, *optional*, defaults to `False`): do not squeeze or crop images to the shape that the
            model was trained with.

    Returns, for each image, a list of dictionaries, one per class:
        - **label** (`str`), **score** (`float`): the class and the probability that the image shows it;
        - **mask** (`PIL.Image.Image`): mode L, the size of the image, 255 where the class is, 0 elsewhere;
        - **box** (`dict` of `xmin`, `ymin`, `xmax`, `ymax`): around the largest part of the mask, in pixels, ends
          exclusive; `None` if the mask is empty;
        - **doubt** (`str`): `"unsure"` or `"seen nowhere"` if a calibrated model does not know the image, else `None`;
          see [`Explanation`];
        - **instances** (`list` of `dict`, with `instances`): its parts, the largest first, with **box**, **area** in
          pixels, **score** (the mean probability of these);
        - **map** (`numpy.ndarray`, with `maps`): `(height, width)`, float32, the probability that the class is there.

    Raises:
        ValueError: if an image cannot be read; names the file, and in a list the number of the image.
    """

    # Typed as `None` in the base class.
    _load_processor: Any = False
    _load_image_processor: Any = True
    _load_feature_extractor: Any = False
    _load_tokenizer: Any = False
    image_processor: PMViTImageProcessor

    # The base class takes any keywords, where each pipeline has its own.

    def __init__(self, *args: Any, compile: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._call = CompiledModel(self.model) if compile else self.model
        config: Any = self.model.config
        self.image_processor = self.image_processor.adapted(config.patch_size)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, list):
            if not inputs:
                return []
            inputs = [_Numbered(number, image) for number, image in enumerate(inputs)]
        elif isinstance(inputs, GeneratorType):
            inputs = (_Numbered(number, image) for number, image in enumerate(inputs))
        keep = kwargs.get("keep_aspect_ratio", self._preprocess_params.get("keep_aspect_ratio", False))
        if not self.image_processor.adapted(keep_aspect_ratio=keep).has_fixed_size:
            kwargs["batch_size"] = 1  # images of different sizes
        return super().__call__(inputs, *args, **kwargs)

    def _sanitize_parameters(  # type: ignore[override]
        self,
        top_k: int | None = None,
        labels: str | Sequence[int | str] | None = None,
        threshold: float | None = None,
        instances: int | None = None,
        min_area: int | None = None,
        maps: bool | None = None,
        map_size: MapSize = None,
        keep_aspect_ratio: bool | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        def given(**values: Any) -> dict[str, Any]:
            return {name: value for name, value in values.items() if value is not None}

        config: Any = self.model.config
        chosen = None if top_k is None and labels is None else class_indices(labels, top_k, config)
        if threshold is not None:
            check_threshold(threshold)
        prepared = given(keep_aspect_ratio=keep_aspect_ratio)
        shown = given(threshold=threshold, instances=instances, min_area=min_area, maps=maps, map_size=map_size)
        return prepared, given(classes=chosen), prepared | shown

    def preprocess(self, image: Any, keep_aspect_ratio: bool = False) -> dict[str, torch.Tensor]:  # type: ignore[override]
        if isinstance(image, _Numbered):
            try:
                return self.preprocess(image.image, keep_aspect_ratio)
            except (ValueError, FileNotFoundError) as error:
                raise type(error)(f"images[{image.number}]: {error}") from error
        image = load_image(image)
        processor = self.image_processor.adapted(keep_aspect_ratio=keep_aspect_ratio)
        inputs = processor(image, return_tensors="pt").to(self.dtype)
        return {"pixel_values": inputs["pixel_values"], "target_size": torch.tensor([[image.height, image.width]])}

    def _forward(  # type: ignore[override]
        self, model_inputs: dict[str, torch.Tensor], classes: int | list[int] = 1
    ) -> dict[str, torch.Tensor]:
        target_size = model_inputs.pop("target_size")
        config: Any = self.model.config
        explain_labels = (
            classes if isinstance(classes, int) else torch.tensor([classes] * len(target_size), device=self.device)
        )
        outputs = self._call(**model_inputs, explain_labels=explain_labels, return_dict=True)
        prediction = Prediction.from_outputs(outputs, config)[: len(target_size)]
        return vars(prediction) | {"target_size": target_size}

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: dict[str, torch.Tensor],
        threshold: float = 0.5,
        instances: int = 0,
        min_area: int = 1,
        maps: bool = False,
        map_size: MapSize = None,
        keep_aspect_ratio: bool = False,
    ) -> list[dict[str, Any]]:
        config: Any = self.model.config
        processor = self.image_processor.adapted(keep_aspect_ratio=keep_aspect_ratio)
        sizes = model_outputs.pop("target_size").tolist()
        prediction = Prediction(**model_outputs)
        (records,) = processor.post_process_records(
            prediction, sizes, config.id2label, threshold, masks=True, instances=instances, min_area=min_area
        )
        results = [
            {"label": record["label"], "score": record["score"], "box": record["box"]}
            | {"mask": Image.fromarray(record["mask"].view(np.uint8) * np.uint8(255)), "doubt": prediction.doubts()[0]}
            | ({"instances": record["instances"]} if instances else {})
            for record in records
        ]
        if maps:
            (found,) = processor.post_process_masks(prediction, sizes, threshold, map_size)
            for result, heatmap in zip(results, found["heatmaps"].numpy(), strict=True):
                result["map"] = heatmap
        return results


__all__ = ["ImageExplanationPipeline"]
