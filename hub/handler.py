"""Inference endpoint: takes photographs, returns classes with masks and boxes. It is published with the weights.

A request is `{"inputs": ..., "parameters": {...}}`, or the inputs alone. The inputs are a photograph as bytes, as
base64 (also as a `data:` URL) or as a PIL image, or a list of photographs. The answer for a photograph is a list of
classes, the most probable first; the answer for a list is a list of such lists:

    {"label": "leaf", "score": 0.97, "box": {"xmin": 3, "ymin": 5, "xmax": 40, "ymax": 61}, "mask": "iVBORw0KGgo..."}

`box` (in pixels, ends exclusive) encloses the largest part of the mask; null for an empty mask. Parameters:
    top_k (default 1): number of classes; or labels: names of the classes to explain, whatever their probability.
    threshold (default 0.5): probability from which a pixel belongs to a class.
    mask (default "png"): "png": base64 of a black-and-white PNG of the size of the photograph; "rle": uncompressed run
        lengths as in COCO, {"size": [height, width], "counts": [...]}, column by column, zeros first; or "none".
A request that cannot be answered raises a ValueError with the reason; the endpoint answers with status 400.
"""

import base64
import binascii
import io
import threading
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForImageClassification

MAX_BYTES = 10 * 2**20  # of an encoded photograph
MAX_PIXELS = 2**24  # of a decoded photograph: 48 MiB, and 64 MiB for a map of this size
MAX_BATCH = 32
MAX_CLASSES = 100
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


class EndpointHandler:
    def __init__(self, path: str = ""):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModelForImageClassification.from_pretrained(path, trust_remote_code=True)
        self.model = model.to(device).eval()
        self.processor = AutoImageProcessor.from_pretrained(path, trust_remote_code=True)
        # Requests are decoded and explained one at a time: a waiting request needs no memory but its bytes.
        self.turn = threading.Lock()

    def __call__(self, data: Any) -> list[Any]:
        inputs, parameters = _unpack(data)
        classes, threshold, mask = self._checked(parameters)
        single = not isinstance(inputs, list)
        items = [inputs] if single else inputs
        if not 1 <= len(items) <= MAX_BATCH:
            raise ValueError(f"expected 1 to {MAX_BATCH} photographs, got {len(items)}.")
        with self.turn:
            pixel_values, sizes = [], []
            for number, item in enumerate(items):  # one at a time: only one decoded photograph is in memory
                try:
                    image = _decode(item)
                except ValueError as error:
                    raise ValueError(str(error) if single else f"inputs[{number}]: {error}") from error
                pixel_values.append(self.processor(image, return_tensors="pt").pixel_values)
                sizes.append((image.height, image.width))
            results = self._explain(torch.cat(pixel_values), sizes, classes, threshold, mask)
        return results[0] if single else results

    def _explain(
        self,
        pixel_values: torch.Tensor,
        sizes: list[tuple[int, int]],
        classes: int | list[int],
        threshold: float,
        mask: str,
    ) -> list[list[dict[str, Any]]]:
        prediction = self.model.predict(pixel_values, classes)
        results = []
        for row, size in enumerate(sizes):
            found = []
            for slot in range(prediction.scores.shape[1]):
                # Maps of the size of the photograph can be large: one at a time.
                (explanation,) = self.processor.post_process_explanations(
                    prediction[row, slot], [size], self.model.config.id2label, threshold
                )
                (answer,) = self.processor.to_records(explanation)
                if mask != "none":
                    answer["mask"] = (_png if mask == "png" else _run_lengths)(explanation["masks"][0].numpy())
                found.append(answer)
            results.append(found)
        return results

    def _checked(self, parameters: dict[str, Any]) -> tuple[int | list[int], float, str]:
        """The classes to explain (their number, or indices), the threshold and the format of the masks."""
        unknown = sorted(set(parameters) - {"top_k", "labels", "threshold", "mask"})
        if unknown:
            raise ValueError(f"the parameters are top_k, labels, threshold and mask, got {unknown[0]!r}.")
        if "top_k" in parameters and "labels" in parameters:
            raise ValueError("give top_k or labels, not both.")
        config = self.model.config
        most = min(MAX_CLASSES, config.num_labels)
        classes = parameters.get("top_k", 1)
        if type(classes) is not int or classes < 1:
            raise ValueError(f"top_k must be an integer of at least 1, got {classes!r}.")
        classes = min(classes, most)
        if "labels" in parameters:
            names = parameters["labels"]
            names = [names] if isinstance(names, str) else names
            if not isinstance(names, list) or not 1 <= len(names) <= most:
                raise ValueError(f"labels must be a list of 1 to {most} class names, got {str(names)[:80]!r}.")
            unknown = [name for name in names if not isinstance(name, str) or name not in config.label2id]
            if unknown:
                known = ", ".join(list(config.label2id)[:10])
                raise ValueError(f"there is no class {str(unknown[0])[:80]!r}; the first classes are: {known}.")
            classes = [config.label2id[name] for name in names]
        threshold = parameters.get("threshold", 0.5)
        if type(threshold) not in (int, float) or not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a number in 0 ... 1, got {threshold!r}.")
        mask = parameters.get("mask", "png")
        if mask not in ("png", "rle", "none"):
            raise ValueError(f"mask must be 'png', 'rle' or 'none', got {mask!r}.")
        return classes, threshold, mask


def _unpack(data: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(data, dict):
        return data, {}
    unknown = sorted(str(key) for key in set(data) - {"inputs", "parameters"})
    if "inputs" not in data or unknown:
        raise ValueError(
            f"a request has the keys 'inputs' and, optionally, 'parameters'; got {sorted(map(str, data))}."
        )
    parameters = data.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ValueError(f"'parameters' must be an object, got {type(parameters).__name__}.")
    return data["inputs"], parameters


def _decode(item: Any) -> Image.Image:
    """Decode a photograph and turn it upright. Its size is checked from the header, before it is decoded."""
    if isinstance(item, str):
        if item.startswith("data:"):
            item = item.partition(",")[2]
        if len(item) > MAX_BYTES * 4 / 3 + 4:
            raise ValueError(f"the photograph is larger than {MAX_BYTES:,} bytes.")
        try:
            item = base64.b64decode(item, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"a photograph as text must be base64 of an image file: {error}.") from error
    if isinstance(item, (bytes, bytearray)):
        if len(item) > MAX_BYTES:
            raise ValueError(f"the photograph has {len(item):,} bytes, more than {MAX_BYTES:,}.")
        try:
            item = Image.open(io.BytesIO(item), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(f"the photograph has more than {MAX_PIXELS:,} pixels: {error}.") from error
        except Exception as error:  # decoders can raise any error on malformed bytes
            raise ValueError(
                f"not an image, or a corrupt one, or not in a supported format ({', '.join(FORMATS)})."
            ) from error
    if not isinstance(item, Image.Image):
        raise ValueError(f"a photograph must be bytes or base64, got {type(item).__name__}.")
    if item.width * item.height > MAX_PIXELS:
        raise ValueError(f"the photograph has {item.width} x {item.height} pixels, more than {MAX_PIXELS:,}.")
    try:
        item.load()
        return ImageOps.exif_transpose(item)
    except Exception as error:
        raise ValueError(f"the image is corrupt: {error}.") from error


def _png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1])).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges]).tolist()}
