"""Image processor of PM-ViT: converts photographs and masks to inputs of the model, and its outputs to explanations."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling
from transformers.processing_utils import ImagesKwargs
from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME, cached_file, is_torchvision_available

from .checkpoint_pm_vit import assumed_settings
from .explanation_pm_vit import IGNORE, Explanation, Prediction, largest_box
from .image_loading_pm_vit import is_single, load_image, load_images

_WHERE = ("cache_dir", "force_download", "token", "local_files_only", "revision", "subfolder")  # a file of the Hub is


class PMViTImageProcessorKwargs(ImagesKwargs, total=False):
    r"""
    patch_size (`int` or `tuple[int, int]`, *optional*, defaults to `self.patch_size`):
        Patch size of the model, the resolution of `mask_labels`.
    """

    patch_size: int | list[int] | tuple[int, int]


if TYPE_CHECKING:  # one of the two, whose interfaces are the same
    _Backend = PilBackend
else:
    _Backend = TorchvisionBackend if is_torchvision_available() else PilBackend


class PMViTImageProcessor(_Backend):
    r"""
    Converts images and their masks to inputs of the model, and its outputs to maps.

    By default the whole image is resized to `size`, so that its map covers all of it. With a `shortest_edge` and a
    centre crop, as in many checkpoints, the area outside of the crop is not seen and has probability 0.
    """

    valid_kwargs = PMViTImageProcessorKwargs
    model_input_names = ["pixel_values"]

    resample = PILImageResampling.BILINEAR
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD
    size: Any = {"height": 224, "width": 224}  # a `SizeDict` once it is made
    default_to_square = True
    crop_size: Any = {"height": 224, "width": 224}
    do_resize = True
    do_center_crop = False
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    patch_size: int | tuple[int, int] = 16

    # For code that has the processor, but not the module: the handler and the app beside the weights.
    load_image = staticmethod(load_image)

    if TYPE_CHECKING:  # with `patch_size`

        def __init__(self, **kwargs: Unpack[PMViTImageProcessorKwargs]) -> None: ...

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        As of [`ImageProcessingMixin`]; for a model without a `preprocessor_config.json`, with a warning,
        [`assumed_settings`] of its configuration.
        """
        where = {name: kwargs[name] for name in _WHERE if kwargs.get(name) is not None}
        try:
            settings, unused = super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)
        except OSError:
            files = {kwargs.get("image_processor_filename", IMAGE_PROCESSOR_NAME), PROCESSOR_NAME}
            absent: dict[str, Any] = {"_raise_exceptions_for_missing_entries": False}
            if any(cached_file(pretrained_model_name_or_path, name, **where, **absent) for name in files):
                raise  # it cannot be read
            config, _ = PreTrainedConfig.get_config_dict(pretrained_model_name_or_path, **where)
            settings = assumed_settings(str(pretrained_model_name_or_path), config)
            unused = {name: value for name, value in kwargs.items() if name not in _WHERE and name[0] != "_"}
        return settings, unused

    def preprocess(
        self, images: Any, segmentation_maps: Any = None, explain_labels: Any = None, **kwargs: Any
    ) -> BatchFeature:
        r"""
        Args:
            images: an image or a list of images, as [`load_image`] takes them.
            segmentation_maps (*optional*): for each image the masks of its classes, at the size of the image: `None`
                (unknown); a binary map `(height, width)` (the mask of the image's class; 0/1, 0/255 or
                boolean); several of them (a list, or `(K, height, width)`); or, with `explain_labels`, a map
                `(height, width)` of class indices.
            explain_labels (*optional*): for each image, the indices of the classes of its maps, in their order.
            kwargs: as in [`ViTImageProcessor`], for this call.

        Returns:
            `BatchFeature` with `pixel_values` `(batch, channels, height, width)`; if maps are given, `mask_labels`
            `(batch, K, height / patch, width / patch)`, the fraction of each patch that each mask covers, -100 where it
            is unknown; if `explain_labels` are given, these as `(batch, K)`, -100 for an empty slot.

        Raises:
            ValueError: if an image cannot be read, a map does not have the size of its image, or a map is not binary
                and `explain_labels` is missing.
        """
        return_tensors = kwargs.pop("return_tensors", None)
        if is_single(images):
            images = [load_image(images)]
            segmentation_maps = None if segmentation_maps is None else [segmentation_maps]
            explain_labels = None if explain_labels is None else [explain_labels]
        else:
            images = load_images(images)
        features = {"pixel_values": super().preprocess(images, **kwargs)["pixel_values"]}

        if segmentation_maps is not None:
            if explain_labels is None:
                explain_labels_or_none = [None] * len(images)
            else:
                explain_labels_or_none = explain_labels = [
                    torch.as_tensor(ids).flatten().tolist() for ids in explain_labels
                ]
            if not len(images) == len(segmentation_maps) == len(explain_labels_or_none):
                raise ValueError(
                    f"{len(images)} images were given with {len(segmentation_maps)} segmentation maps and "
                    f"{len(explain_labels_or_none)} lists of explain_labels."
                )
            planes = [
                _binary_planes(maps, ids, (image.height, image.width))
                for maps, ids, image in zip(segmentation_maps, explain_labels_or_none, images, strict=True)
            ]
            features["mask_labels"] = self._patch_fractions(planes, features["pixel_values"][0].shape[-2:], kwargs)
            if explain_labels is not None:
                slots = features["mask_labels"].shape[1]
                features["explain_labels"] = np.array([ids + [IGNORE] * (slots - len(ids)) for ids in explain_labels])
        return BatchFeature(features, tensor_type=return_tensors)

    def _patch_fractions(
        self, planes: list[list[np.ndarray]], size: tuple[int, int], kwargs: dict[str, Any]
    ) -> np.ndarray:
        """`(batch, K, height / patch, width / patch)` from the binary masks, which are transformed like the images."""
        patch_size = kwargs.get("patch_size", self.patch_size)
        patch_height, patch_width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
        if size[0] % patch_height or size[1] % patch_width:
            raise ValueError(f"the patch size {patch_size} does not divide the image size {tuple(size)}.")
        slots = max(1, *(len(p) for p in planes)) if planes else 1
        fractions = np.full(
            (len(planes), slots, size[0] // patch_height, size[1] // patch_width), IGNORE, dtype=np.float32
        )
        flat = [plane[None] for p in planes for plane in p]  # (1, height, width) each
        if flat:
            geometry = kwargs | {"do_normalize": False, "do_convert_rgb": False, "do_rescale": True}
            geometry |= {"resample": PILImageResampling.BILINEAR, "rescale_factor": 1 / 255}
            covered = super().preprocess(flat, input_data_format="channels_first", **geometry)["pixel_values"]
            covered = torch.stack([torch.as_tensor(np.asarray(c)) for c in covered]).float().clamp(0, 1)
            covered = nn.functional.avg_pool2d(covered, (patch_height, patch_width)).squeeze(1).numpy()
            taken = 0
            for row, p in enumerate(planes):
                fractions[row, : len(p)] = covered[taken : taken + len(p)]
                taken += len(p)
        return fractions

    def post_process_masks(
        self, outputs: Any, target_sizes: Sequence[tuple[int, int]], threshold: float = 0.5
    ) -> list[dict[str, Any]]:
        r"""
        Resize the masks of the model to the size of the images.

        Args:
            outputs ([`PMViTImageClassifierOutput`]): outputs of the model with `mask_logits` and `explain_labels`.
            target_sizes: (height, width) of each image.
            threshold: probability from which a pixel belongs to a class.

        Returns:
            For each image `label_ids` `(K,)`, `heatmaps` `(K, height, width)`, the probability of each class at each
            pixel (patch probabilities, interpolated bilinearly), `masks`, boolean of the same shape, and `boxes`, K
            tuples of xmin, ymin, xmax, ymax in pixels, ends exclusive, around the largest connected part of the mask;
            `None` where the mask is empty. Empty slots of `explain_labels` are left out.
        """
        if outputs.mask_logits is None:
            raise ValueError("the outputs have no mask_logits: call the model with explain_labels of at least 1.")
        if len(target_sizes) != len(outputs.mask_logits):
            raise ValueError(f"expected {len(outputs.mask_logits)} target sizes, got {len(target_sizes)}.")
        results = []
        probabilities = outputs.mask_logits.detach().float().sigmoid().cpu()
        for maps, ids, size in zip(probabilities, outputs.explain_labels.cpu(), target_sizes, strict=True):
            heatmaps = self._to_image(maps[ids >= 0], (int(size[0]), int(size[1])))
            masks = heatmaps >= threshold
            boxes = [largest_box(mask.numpy()) for mask in masks]
            results.append({"label_ids": ids[ids >= 0], "heatmaps": heatmaps, "masks": masks, "boxes": boxes})
        return results

    def post_process_explanations(
        self,
        prediction: Prediction,
        target_sizes: Sequence[tuple[int, int]],
        id2label: Mapping[int, str],
        threshold: float = 0.5,
    ) -> list[Explanation]:
        r"""
        Convert predictions of the model to explanations at the size of the images.

        Args:
            prediction: of the model ([`PMViTForImageClassification.predict`]) or of an exported graph.
            target_sizes: (height, width) of each image.
            id2label: names of the classes, `model.config.id2label`.
            threshold: probability from which a pixel belongs to a class.

        Returns:
            For each image an [`Explanation`]: what [`post_process_masks`] returns, with `labels` and `scores`. Maps of
            large images need much memory; to make one at a time pass `prediction[row, slot]`.
        """
        explanations = []
        found = self.post_process_masks(prediction, target_sizes, threshold)
        for masks, ids, scores in zip(found, prediction.explain_labels, prediction.scores, strict=True):
            labels = [id2label[label_id] for label_id in masks["label_ids"].tolist()]
            explanations.append(
                Explanation(
                    label_ids=masks["label_ids"],
                    labels=labels,
                    scores=scores[ids >= 0],
                    heatmaps=masks["heatmaps"],
                    masks=masks["masks"],
                    boxes=masks["boxes"],
                )
            )
        return explanations

    @staticmethod
    def to_records(explanation: Explanation) -> list[dict[str, Any]]:
        """
        The classes of an [`Explanation`] for JSON, each with `label`, `score` and `box`, a dictionary of `xmin`,
        `ymin`, `xmax` and `ymax`, or `None` if the mask is empty.
        """
        return [
            {
                "label": label,
                "score": score,
                "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) if box else None,
            }
            for label, score, box in zip(
                explanation["labels"], explanation["scores"].tolist(), explanation["boxes"], strict=True
            )
        ]

    def _to_image(self, maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """From maps `(K, h, w)` of the area that the model saw to maps `(K, height, width)` of the whole image."""

        def resize(x: torch.Tensor, to: tuple[int, int]) -> torch.Tensor:
            if not len(x):
                return x.new_zeros(0, *to)
            return nn.functional.interpolate(x.unsqueeze(0), size=to, mode="bilinear", align_corners=False).squeeze(0)

        if not self.do_center_crop:
            return resize(maps, size)
        scale = 1.0
        if self.do_resize and self.size.shortest_edge:
            scale = self.size.shortest_edge / min(size)
        resized = (round(size[0] * scale), round(size[1] * scale))
        if self.do_resize and not self.size.shortest_edge:
            resized = (self.size.height, self.size.width)
        crop = (self.crop_size.height, self.crop_size.width)
        seen = resize(maps, crop)
        # The corner of the crop in the resized image; negative if the crop is larger and the image is padded.
        top, left = (resized[0] - crop[0]) // 2, (resized[1] - crop[1]) // 2
        canvas = maps.new_zeros(len(maps), *resized)
        rows, columns = min(crop[0], resized[0]), min(crop[1], resized[1])
        y, x = max(top, 0), max(left, 0)
        canvas[:, y : y + rows, x : x + columns] = seen[:, max(-top, 0) :, max(-left, 0) :][:, :rows, :columns]
        return resize(canvas, size)


def _binary_planes(maps: Any, class_ids: list[int] | None, size: tuple[int, int]) -> list[np.ndarray]:
    """The masks of one image as arrays `(height, width)` of 0 and 255."""
    if maps is None:
        return []
    if isinstance(maps, Mapping):
        raise ValueError("segmentation maps must be arrays or images; give their classes as explain_labels.")
    arrays = [np.asarray(m) for m in maps] if isinstance(maps, (list, tuple)) else np.asarray(maps)
    arrays = [arrays] if isinstance(arrays, np.ndarray) and arrays.ndim == 2 else list(arrays)
    for array in arrays:
        if array.shape != size:
            raise ValueError(
                f"a segmentation map must have the size of its image (height, width) = {size}, got {array.shape}."
            )
    if len(arrays) == 1 and class_ids is not None and not _is_binary(arrays[0]):
        arrays = [arrays[0] == class_id for class_id in class_ids]
    if class_ids is not None and len(arrays) != len(class_ids):
        raise ValueError(f"{len(arrays)} binary maps were given with {len(class_ids)} explain_labels.")
    for array in arrays:
        if not _is_binary(array):
            raise ValueError(
                "a binary map contains 0 and one other value (1 or 255), this one contains "
                f"{np.unique(array)[:8].tolist()}: for a map of class indices give explain_labels."
            )
    return [(array > 0).astype(np.uint8) * 255 for array in arrays]


def _is_binary(array: np.ndarray) -> bool:
    values = np.unique(array)
    return len(values) <= 2 and set(values.tolist()) <= {0, 1, 255}


PMViTImageProcessor.register_for_auto_class()

__all__ = ["PMViTImageProcessor"]
