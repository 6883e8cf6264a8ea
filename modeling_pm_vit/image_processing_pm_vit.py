"""Image processor of PM-ViT: converts photographs and masks to inputs of the model, and its outputs to explanations."""

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedConfig
from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling, SizeDict
from transformers.processing_utils import ImagesKwargs
from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME, cached_file, is_torchvision_available

from .checkpoint_pm_vit import assumed_settings
from .explanation_pm_vit import IGNORE, Prediction
from .image_loading_pm_vit import is_single, load_image, load_images
from .maps_pm_vit import (
    MapSize,
    Placement,
    box_record,
    check_threshold,
    enlarged,
    find_instances,
    find_region,
    instance_records,
    largest_box,
    size_of_maps,
)
from .result_pm_vit import Explanation
from .sizes_pm_vit import resized_size

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
    do_pad: bool | None  # to the right and below, to `pad_size` or to the largest image of a batch
    pad_size: Any

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
            images = list(load_images(images))
        features = {"pixel_values": super().preprocess(images, **kwargs)["pixel_values"]}
        sizes = sorted({tuple(one.shape[-2:]) for one in features["pixel_values"]})
        if len(sizes) > 1 and (return_tensors or segmentation_maps is not None):
            raise ValueError(
                f"resized, the images have different sizes, {sizes[0]} and {sizes[1]}, so they cannot be one batch: "
                "prepare them one by one, set do_pad, or a size with height and width."
            )

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

    def adapted(self, patch_size: Any = None, keep_aspect_ratio: bool = False) -> "PMViTImageProcessor":
        """
        A copy with other settings.

        Args:
            patch_size: of the model; by default unchanged.
            keep_aspect_ratio: where images are resized to a fixed height and width, or cropped, keep their proportions
                instead, at about the same number of pixels, and show the model the whole image.
        """
        processor = copy(self)
        if patch_size is not None:
            processor.patch_size = patch_size
        if keep_aspect_ratio:
            fixed = self.crop_size if self.do_center_crop else self.size
            if fixed.height and fixed.width:
                pixels = fixed.height * fixed.width
                processor.size = SizeDict(min_pixels=pixels, max_pixels=pixels)
            processor.do_resize, processor.do_center_crop, processor.do_pad = True, False, False
        return processor

    @property
    def has_fixed_size(self) -> bool:
        """Whether the inputs of all images have the same size, so that they can be in one batch."""
        if self.do_pad and self.pad_size:
            return True
        return bool(self.do_center_crop or (self.do_resize and self.size.height and self.size.width))

    def process_image(self, image: Any, *args: Any, **kwargs: Any) -> Any:
        if self.backend != "torchvision" or not isinstance(image, Image.Image):
            return super().process_image(image, *args, **kwargs)
        # The base class makes three copies with the channels first. With the channels last, the resized pixels are the
        # same, and resizing is several times as fast.
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        for row in range(0, image.height, 256):
            pixels[row : row + 256] = np.asarray(image.crop((0, row, image.width, min(row + 256, image.height))))
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)
        return tensor if kwargs.get("device") is None else tensor.to(kwargs["device"])

    def _preprocess(  # type: ignore[override]  # the base class names each setting
        self, images: Any, *, do_resize: bool, size: SizeDict, **kwargs: Any
    ) -> BatchFeature:
        if do_resize:  # to a size that the backends do not know
            patch, cropped = patch_sides(kwargs["patch_size"]), bool(kwargs["do_center_crop"])
            resized = []
            for image in images:
                height, width = resized_size(image.shape[-2:], size, patch, cropped)
                target = SizeDict(height=height, width=width)
                resized.append(self.resize(image=image, size=target, resample=kwargs["resample"]))
            images = resized
        return super()._preprocess(images, do_resize=False, size=size, **kwargs)

    def _patch_fractions(
        self, planes: list[list[np.ndarray]], size: tuple[int, int], kwargs: dict[str, Any]
    ) -> np.ndarray:
        """`(batch, K, height / patch, width / patch)` from the binary masks, which are transformed like the images."""
        patch_size = kwargs.get("patch_size", self.patch_size)
        patch_height, patch_width = patch_sides(patch_size)
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
            covered = torch.nn.functional.avg_pool2d(covered, (patch_height, patch_width)).squeeze(1).numpy()
            taken = 0
            for row, p in enumerate(planes):
                fractions[row, : len(p)] = covered[taken : taken + len(p)]
                taken += len(p)
        return fractions

    def post_process_masks(
        self,
        outputs: Any,
        target_sizes: Sequence[tuple[int, int]],
        threshold: float = 0.5,
        map_size: MapSize = None,
    ) -> list[dict[str, Any]]:
        r"""
        Convert the patch logits of the model to maps, masks and boxes of the images.

        Args:
            outputs ([`Prediction`] or [`PMViTImageClassifierOutput`]): with `mask_logits` and `explain_labels`. Those
                of a `Prediction` are at the temperature of the maps; the outputs of the model itself are not.
            target_sizes: (height, width) of each image.
            threshold: probability from which a pixel belongs to a class.
            map_size: (height, width) of `heatmaps` and `masks`; or their longer side, if it is below that of the image;
                or `"grid"`, a value per patch. By default they have the size of the image, 5 bytes per class and pixel.

        Returns:
            For each image `label_ids` `(K,)`, `heatmaps` `(K, height, width)`, the probability of each class at each
            pixel (patch probabilities, interpolated bilinearly), `masks`, boolean of the same shape, and `boxes`, K
            tuples of xmin, ymin, xmax, ymax in pixels of the image, ends exclusive, around the largest connected part
            of the mask at the image's size; `None` where it is empty. Empty slots of `explain_labels` are left out.

        Raises:
            ValueError: if the outputs have no maps, or a size or the threshold is none.
        """
        check_threshold(threshold)
        results = []
        for ids, maps, placement in self._patch_maps(outputs, target_sizes):
            size = size_of_maps(map_size, placement, (maps.shape[1], maps.shape[2]))
            heatmaps = enlarged(maps, placement, size)
            masks = heatmaps >= threshold
            if size == placement.size:
                boxes = [largest_box(mask) for mask in masks]
            else:
                boxes = [find_region(one, placement, threshold).box for one in maps]
            tensors = {"heatmaps": torch.from_numpy(heatmaps), "masks": torch.from_numpy(masks)}
            results.append({"label_ids": ids, **tensors, "boxes": boxes})
        return results

    def post_process_explanations(
        self,
        prediction: Prediction,
        target_sizes: Sequence[tuple[int, int]],
        id2label: Mapping[int, str],
        threshold: float = 0.5,
        map_size: MapSize = None,
    ) -> list[Explanation]:
        r"""
        Convert predictions of the model to explanations of the images.

        Args:
            prediction: of the model ([`PMViTForImageClassification.predict`]) or of an exported graph.
            target_sizes: (height, width) of each image.
            id2label: names of the classes, `model.config.id2label`.
            threshold, map_size: as in `post_process_masks`.

        Returns:
            For each image an [`Explanation`]: what [`post_process_masks`] returns, with `labels`, `scores`,
            `confidence` and `doubt`. Its `image` is `None`.
        """
        doubts = prediction.doubts()
        return [
            Explanation(
                label_ids=found["label_ids"],
                labels=[id2label[label_id] for label_id in found["label_ids"].tolist()],
                scores=scores[ids >= 0],
                heatmaps=found["heatmaps"],
                masks=found["masks"],
                boxes=found["boxes"],
                confidence=None if prediction.confidence is None else float(prediction.confidence[row]),
                doubt=doubts[row],
                threshold=threshold,
            )
            for row, (found, ids, scores) in enumerate(
                zip(
                    self.post_process_masks(prediction, target_sizes, threshold, map_size),
                    prediction.explain_labels,
                    prediction.scores,
                    strict=True,
                )
            )
        ]

    def post_process_records(
        self,
        prediction: Prediction,
        target_sizes: Sequence[tuple[int, int]],
        id2label: Mapping[int, str],
        threshold: float = 0.5,
        masks: bool = False,
        instances: int = 0,
        min_area: int = 1,
        heatmaps: bool = False,
    ) -> list[list[dict[str, Any]]]:
        r"""
        The classes of images, for JSON. Where maps are not wanted: at no time is there more of a map than a stripe.

        Args:
            prediction, target_sizes, id2label, threshold: as in `post_process_explanations`.
            masks, heatmaps: whether to add the masks, and the maps (4 bytes per pixel of the image and class).
            instances: the largest number of connected parts of each mask to add.
            min_area: of these parts, in pixels of the image.

        Returns:
            For each image a list of dictionaries, one per class: `label`, `score`, `box` (a dictionary of `xmin`,
            `ymin`, `xmax` and `ymax`, or `None` if the mask is empty), `area` (share of the image that the mask
            covers), `max_probability` (the highest of the map), with `masks` `mask`, `(height, width)`, boolean, with
            `heatmaps` `heatmap` of this shape, and with `instances` `instances`, the parts of the mask, the largest
            first: `box`, `area` in pixels, and `score`, the mean probability of these.
        """
        check_threshold(threshold)
        records = []
        rows = zip(
            self._patch_maps(prediction, target_sizes), prediction.explain_labels, prediction.scores, strict=True
        )
        for (ids, maps, placement), all_ids, scores in rows:
            classes: list[dict[str, Any]] = []
            for label_id, score, one in zip(ids.tolist(), scores[all_ids >= 0].tolist(), maps, strict=True):
                region = find_region(one, placement, threshold, keep_map=heatmaps)
                box = region.box and box_record(region.box)
                classes.append(
                    {"label": id2label[label_id], "score": score, "box": box}
                    | {"area": region.area, "max_probability": region.max_probability}
                    | ({"mask": region.mask} if masks else {})
                    | ({"heatmap": region.heatmap} if heatmaps else {})
                )
                if instances:
                    found = find_instances(one, placement, threshold, region.mask, instances, min_area)
                    classes[-1]["instances"] = instance_records(found)
            records.append(classes)
        return records

    def _patch_maps(
        self, outputs: Any, target_sizes: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[torch.Tensor, np.ndarray, Placement]]:
        """For each image its classes `(K,)`, their patch probabilities `(K, rows, columns)`, and the place of these."""
        if outputs.mask_logits is None:
            raise ValueError("the outputs have no mask_logits: call the model with explain_labels of at least 1.")
        if len(target_sizes) != len(outputs.mask_logits):
            raise ValueError(f"expected {len(outputs.mask_logits)} target sizes, got {len(target_sizes)}.")
        # In double precision: the last bit of the other depends on the place of a value in the tensor.
        probabilities = outputs.mask_logits.detach().cpu().double().sigmoid().float()
        for maps, ids, (height, width) in zip(probabilities, outputs.explain_labels.cpu(), target_sizes, strict=True):
            yield ids[ids >= 0], maps[ids >= 0].numpy(), self.placement((int(height), int(width)), maps.shape[-2:])

    def placement(self, size: tuple[int, int], grid: Sequence[int]) -> Placement:
        """
        Where an image lies in the input of the model.

        Args:
            size: (height, width) of the image.
            grid: rows and columns of the patches of the input.
        """
        patch = patch_sides(self.patch_size)
        resized = resized_size(size, self.size, patch, bool(self.do_center_crop)) if self.do_resize else size
        area, offset = resized, (0, 0)
        if self.do_center_crop:
            area = (self.crop_size.height, self.crop_size.width)
            ceil = self.backend != "torchvision"  # the backends round the padding of small images differently
            offset = _offset(area[0] - resized[0], ceil), _offset(area[1] - resized[1], ceil)
        padded = area
        if self.do_pad and self.pad_size:
            padded = (self.pad_size.height, self.pad_size.width)
        elif self.do_pad:  # to the largest of a batch
            padded = (grid[0] * patch[0], grid[1] * patch[1])
        return Placement(size, resized, offset, area, padded)


def patch_sides(patch_size: Any) -> tuple[int, int]:
    """Height and width of a patch in pixels, from a `patch_size` that is one number or two."""
    height, width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    return height, width


def _offset(padding: int, ceil: bool) -> int:
    """Of an image that a centre crop pads or, if the padding is negative, crops."""
    return (padding + ceil) // 2 if padding >= 0 else -(-padding // 2)


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
