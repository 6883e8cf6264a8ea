"""Masks from any segmentation model that a pipeline of transformers can run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image
from transformers import Pipeline

from ..utils.errors import InputError
from .method import PseudoMask, is_plausible_object

Task = Literal["image-segmentation", "mask-generation"]


class Segmenter:
    """
    Chooses masks among the segments that a model finds in an image.

    `image-segmentation` gives segments with labels: the mask is the union of those with the name of the image's class,
    or with one of `segment_labels`. If there are none, it is the plausible object (see [`is_plausible_object`]) with
    the highest score; without scores there is no mask. The score is the highest of the segments, 1 without scores.
    `mask-generation` gives segments without labels: the mask is the plausible object with the highest score.

    Args:
        pipeline: for one of these tasks.
        names: of the dataset's classes, compared without case and with `_`, `-` and spaces equal.
        segment_labels: labels of the model whose segments are used for all classes ("bird" for every species).
    """

    def __init__(self, pipeline: Pipeline, names: Sequence[str], segment_labels: Sequence[str] = ()):
        known = {_plain(label) for label in getattr(pipeline.model.config, "id2label", {}).values()}
        unknown = [label for label in segment_labels if _plain(label) not in known]
        if pipeline.task == "image-segmentation" and unknown:
            some = ", ".join(sorted(known)[:10])
            raise InputError(f"--segment_labels: the model has no label {unknown[0]!r}; its first labels are {some}.")
        self.pipeline, self.model = pipeline, pipeline.model
        self.names, self.segment_labels = list(names), list(segment_labels)
        self.settings: Mapping[str, Any] = {"segment_labels": self.segment_labels}

    def __call__(self, images: Sequence[Image.Image], labels: Sequence[int]) -> list[PseudoMask | None]:
        return [self._mask(image, self.names[label]) for image, label in zip(images, labels, strict=True)]

    def _mask(self, image: Image.Image, name: str) -> PseudoMask | None:
        found = self.pipeline(image)
        if self.pipeline.task == "mask-generation":
            masks = [np.asarray(mask, dtype=bool) for mask in found["masks"]]
            return _best(zip(masks, map(float, found["scores"]), strict=True))
        wanted = {_plain(label) for label in self.segment_labels or [name]}
        segments = [(_plain(s["label"]), np.asarray(s["mask"]) > 0, s["score"]) for s in found]
        own = [(mask, score) for label, mask, score in segments if label in wanted and mask.any()]
        if own:
            score = max(1.0 if score is None else float(score) for _, score in own)
            return PseudoMask(np.any([mask for mask, _ in own], axis=0).astype(np.float32), score)
        return _best((mask, float(score)) for _, mask, score in segments if score is not None)


def _best(scored: Iterable[tuple[np.ndarray, float]]) -> PseudoMask | None:
    """The plausible object with the highest score."""
    candidates = [(score, mask) for mask, score in scored if is_plausible_object(mask)]
    if not candidates:
        return None
    score, mask = max(candidates, key=lambda candidate: candidate[0])
    return PseudoMask(mask.astype(np.float32), score)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
