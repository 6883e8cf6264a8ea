"""The explanation of one image, as it is returned and as it shows itself: pictures, tables, files."""

import json
import os
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .components_pm_vit import connected_parts
from .confidence_pm_vit import DOUBT_TEXTS
from .figure_pm_vit import figure
from .image_loading_pm_vit import load_image
from .maps_pm_vit import box_record
from .overlay_pm_vit import heatmap, overlay

_NOTEBOOK_SIDE = 448  # pixels; a photograph of this size and its table fit beside one another


class Explanation(dict[str, Any]):
    """
    The explanation of one image, for K classes: a dictionary of its values that can draw itself.

    The image is not copied. `image` is what was given (a path, bytes, PIL image or array), and is read again to be
    drawn; only of a URL or a file object the decoded image is kept, 3 bytes per pixel. Drawing needs some 6 bytes per
    pixel of the picture, and 8 per pixel and class. `explanation.image = None` drops the reference.

    Keys:
        label_ids: `(K,)`, indices of the classes.
        labels: K names.
        scores: `(K,)`, the probabilities that the image shows the classes.
        heatmaps: `(K, height, width)`, the probabilities that the classes are at the pixel; see `map_size`.
        masks: `(K, height, width)`, boolean: the probability is at least the threshold.
        boxes: K of xmin, ymin, xmax, ymax in pixels, ends exclusive, around the largest part of the mask; `None`: no
            mask.
        confidence: how sure the model is of the image as a whole; its scale is that of `config.confidence_score`.
        doubt: of a calibrated model, else `None`. `"unsure"`: the confidence is below the stored threshold; `"seen
            nowhere"`: a class is named with a probability of at least one half, but is on no patch with as much,
            although it has an object.

    Args:
        image: as [`load_image`] takes it; `None` if there is nothing to draw on.
        threshold: of `masks` and `boxes`, and of the contours that are drawn.
        values: the keys.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.1, 0.9], [0.2, 0.8]]])
        >>> found = {"label_ids": torch.tensor([3]), "labels": ["cat"], "scores": torch.tensor([0.75])}
        >>> found |= {"heatmaps": maps, "masks": maps >= 0.5, "boxes": [(1, 0, 2, 2)]}
        >>> explanation = Explanation(Image.new("RGB", (2, 2)), **found)
        >>> explanation
        <Explanation: cat 75.0 % (50.0 % of the image)>
        >>> explanation["labels"], explanation.overlay(side=224).size
        (['cat'], (224, 224))
    """

    def __init__(self, image: Any = None, threshold: float = 0.5, **values: Any):
        super().__init__(values)
        self.image, self.threshold = image, threshold

    def overlay(
        self,
        labels: str | Sequence[str] | None = None,
        *,
        opacity: float = 0.6,
        captions: bool = True,
        scale: bool = False,
        side: int | None = None,
    ) -> Image.Image:
        """
        The image with a tint and a contour for each class, and its name and probability.

        Args:
            labels: of the explained classes those to draw, by name. Default: all.
            opacity: of the tint where the probability is 1.
            captions: write the classes on the picture.
            scale: draw the scale of the tints beside it.
            side: the longer side of the image in the picture, in pixels. Default: that of the image.

        Raises:
            ValueError: if there is no image, it cannot be read, or a class was not explained.
        """
        slots = self._slots(labels)
        image, heatmaps = self._sized(slots, side)
        names = [self._caption(slot) for slot in slots] if captions else []
        return overlay(image, heatmaps, self.threshold, opacity, names, scale)

    def plot(self, side: int = 320) -> Image.Image:
        """
        A figure: the image, the overlay of all classes, and the map of each class with its scale.

        Args:
            side: of each panel, in pixels.

        Raises:
            ValueError: if there is no image, or it cannot be read.
        """
        slots = self._slots(None)
        image, heatmaps = self._sized(slots, side)
        panels = [("image", image), ("overlay", self.overlay(side=side))]
        panels += [(self._caption(slot), heatmap(one)) for slot, one in zip(slots, heatmaps, strict=True)]
        return figure([panels], side)

    def save(self, *paths: str | os.PathLike[str], **options: Any) -> None:
        """
        Write files, each whole or not at all: `.json` is the record of the classes, other suffixes are the overlay.

        Args:
            paths: as `"cat.png", "cat.json"`; of pictures any suffix that Pillow writes. Missing folders are made.
            options: of `overlay`.

        Raises:
            ValueError: if there is no path, or a suffix is unknown.
        """
        if not paths:
            raise ValueError('save needs the path of a file to write, as "explained.png" or "explained.json".')
        for path in map(Path, paths):
            known = Image.registered_extensions()
            if path.suffix.lower() != ".json" and known.get(path.suffix.lower()) not in Image.SAVE:
                raise ValueError(f"{path}: expected a suffix as .png, .jpg or .json, got {path.suffix!r}.")
        for path in map(Path, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{os.getpid()}-{path.name}")
            try:
                if path.suffix.lower() == ".json":
                    part.write_text(json.dumps(self.record(), indent=1, ensure_ascii=False), encoding="utf-8")
                else:
                    self.overlay(**options).save(part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def record(self) -> dict[str, Any]:
        """
        What is in the image, for JSON: `threshold`, `confidence`, `doubt`, and `classes`, a list of `label`, `score`,
        `box` (`xmin`, `ymin`, `xmax`, `ymax`, or `None`), `area` (share of the image that the mask covers) and
        `max_probability`.
        """
        classes = []
        for slot, label in enumerate(self["labels"]):
            box, mask = self["boxes"][slot], self["masks"][slot]
            classes.append(
                {
                    "label": label,
                    "score": round(float(self["scores"][slot]), 6),
                    "box": box and box_record(box),
                    "area": round(float(mask.sum()) / mask.numel(), 6),
                    "max_probability": round(float(self["heatmaps"][slot].max()), 6),
                }
            )
        confidence = self.get("confidence")
        certainty = None if confidence is None else round(confidence, 6)
        return {"threshold": self.threshold, "confidence": certainty, "doubt": self.get("doubt"), "classes": classes}

    def instances(self, min_area: int = 1, most: int = 100) -> list[dict[str, Any]]:
        """
        The connected parts of the masks: one object each, where objects of a class do not touch.

        Args:
            min_area: leave out parts of fewer pixels.
            most: so many of each class, the largest.

        Returns:
            For each class its parts, the largest first: `label`, `score` (the mean probability of the part's pixels),
            `box` (xmin, ymin, xmax, ymax, ends exclusive), `area` in pixels, and `mask` `(height, width)`, boolean; in
            pixels of `heatmaps`, which has the size of the image unless `map_size` was given.
        """
        found = []
        for slot, label in enumerate(self["labels"]):
            heatmap, parts = (
                self["heatmaps"][slot].numpy(),
                connected_parts(self["masks"][slot].numpy(), min_area, most),
            )
            for number, (box, area) in enumerate(zip(parts.boxes, parts.areas, strict=True), start=1):
                mask = parts.numbers == number
                score = float(heatmap[mask].mean(dtype=np.float64))
                found.append({"label": label, "score": score, "box": box, "area": area, "mask": mask})
        return found

    def to_pandas(self) -> Any:
        """
        A `DataFrame` with a row per class: label, score, xmin, ymin, xmax, ymax, area, max_probability.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError("Explanation.to_pandas needs pandas: pip install pandas") from error
        rows = []
        for found in self.record()["classes"]:
            box = found.pop("box") or dict.fromkeys(("xmin", "ymin", "xmax", "ymax"))
            rows.append({"label": found.pop("label"), "score": found.pop("score")} | box | found)
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        classes = ", ".join(f"{self._caption(k)} ({self._place(k)})" for k in self._slots(None))
        return f"<Explanation: {classes}{'; ' + self['doubt'] if self.get('doubt') else ''}>"

    def _repr_png_(self) -> bytes | None:
        if self.image is None:
            return None
        return _encoded(self.overlay(side=_NOTEBOOK_SIDE, scale=True).quantize(256), "PNG")

    def _repr_html_(self) -> str:
        picture = ""
        if self.image is not None:
            content = _encoded(self.overlay(side=_NOTEBOOK_SIDE, scale=True), "JPEG", quality=90)
            picture = f'<img alt="overlay of the classes" src="data:image/jpeg;base64,{b64encode(content).decode()}">'
        rows = "".join(
            f"<tr><td>{escape(label)}</td><td>{100 * float(score):.1f} %</td><td>{self._place(slot)}</td></tr>"
            for slot, (label, score) in enumerate(zip(self["labels"], self["scores"], strict=True))
        )
        doubt = f"<p><b>{DOUBT_TEXTS[self['doubt']]}</b></p>" if self.get("doubt") else ""
        return (
            f"<div>{picture}{doubt}<table><tr><th>class</th><th>probability</th><th>where it is at least "
            f"{self.threshold:g}</th></tr>{rows}</table></div>"
        )

    def _slots(self, labels: str | Sequence[str] | None) -> list[int]:
        """The numbers of the classes to draw."""
        known = self["labels"]
        chosen = known if labels is None else [labels] if isinstance(labels, str) else list(labels)
        for label in chosen:
            if label not in known:
                raise ValueError(f"{label!r} was not explained, only {', '.join(known)}: give it to `explain`.")
        return list(range(len(known))) if labels is None else [known.index(label) for label in chosen]

    def _caption(self, slot: int) -> str:
        return f"{self['labels'][slot]} {100 * float(self['scores'][slot]):.1f} %"

    def _place(self, slot: int) -> str:
        mask = self["masks"][slot]
        share = 100 * float(mask.sum()) / mask.numel()
        return f"{share:.1f} % of the image" if self["boxes"][slot] else "nowhere"

    def _sized(self, slots: list[int], side: int | None) -> tuple[Image.Image, np.ndarray]:
        """The image, and the maps of classes at its size."""
        if self.image is None:
            raise ValueError("this explanation has no image to draw on: set explanation.image to a path or an image.")
        image = load_image(self.image)
        if side is not None:
            factor = side / max(image.size)
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            image = image.resize(size, Image.Resampling.BICUBIC)
        bilinear, heatmaps = Image.Resampling.BILINEAR, [self["heatmaps"][slot].numpy() for slot in slots]
        resized = [
            one if one.shape == image.size[::-1] else np.asarray(Image.fromarray(one).resize(image.size, bilinear))
            for one in heatmaps
        ]
        return image, np.stack(resized).clip(0, 1)


def reference(source: Any, loaded: Image.Image) -> Any:
    """What an explanation refers to: the source of its image if it can be read again without a download."""
    is_path = isinstance(source, (str, os.PathLike))
    again = os.path.isfile(source) if is_path else not hasattr(source, "read")
    return source if again else loaded


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


__all__ = ["Explanation", "reference"]
