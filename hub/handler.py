"""Inference endpoint: takes photographs, returns classes with masks and boxes. It is published with the weights.

A request is `{"inputs": ..., "parameters": {...}}`, or the inputs alone. The inputs are a photograph as bytes, as
base64 (also as a `data:` URL) or as a PIL image, or a list of photographs. The answer for a photograph is a list of
classes, the most probable first; the answer for a list is a list of such lists:

    {"label": "leaf", "score": 0.97, "box": {"xmin": 3, "ymin": 5, "xmax": 40, "ymax": 61}, "doubt": null,
     "mask": "iVBORw0KGgo..."}

`box` (in pixels, ends exclusive) encloses the largest part of the mask; null for an empty mask. `doubt` is about the
photograph: "unsure" if the confidence is below the threshold that was stored with the model, "seen nowhere" if a class
is named but is nowhere in it, else null. Parameters, of which numbers may be given as text, as from a query string:
    top_k (default 1): number of classes; or labels: names or indices of the classes to explain, whatever their
        probability.
    threshold (default 0.5): probability from which a pixel belongs to a class.
    mask (default "png"): "png": base64 of a black-and-white PNG of the size of the photograph; "rle": uncompressed run
        lengths as in COCO, {"size": [height, width], "counts": [...]}, column by column, zeros first; or "none".
A request that cannot be answered raises a ValueError with the reason; the endpoint answers with status 400.
"""

import base64
import io
import re
import reprlib
import sys
import threading
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

MAX_BYTES = 10 * 2**20  # of an encoded photograph
MAX_PIXELS = 2**24  # of a decoded photograph: 48 MiB, and 64 MiB for a map of this size
MAX_SIDE = 2**14  # of a photograph, in pixels
MAX_ASPECT = 32  # the longer by the shorter side; a processor that keeps proportions makes the shorter as long as usual
MAX_BATCH = 32
MAX_CLASSES = 100
MAX_WORK = 2**26  # pixels of all photographs of a request, times the classes: some seconds on one core
FORMATS = ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]
PARAMETERS = ("top_k", "labels", "threshold", "mask")


class EndpointHandler:
    def __init__(self, path: str = ""):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModelForImageClassification.from_pretrained(path, trust_remote_code=True)
        self.model = model.to(device).eval()
        self.processor = AutoImageProcessor.from_pretrained(path, trust_remote_code=True)
        # The code that was loaded with the processor; this file is loaded alone and cannot import it by name.
        self.load_image = sys.modules[type(self.processor).__module__].load_image
        # Requests are decoded and explained one at a time: a waiting request needs no memory but its bytes.
        self.turn = threading.Lock()

    def __call__(self, data: Any) -> list[Any]:
        inputs, parameters = _unpack(data)
        classes, threshold, mask = self._checked(parameters)
        single = not isinstance(inputs, list)
        items = [inputs] if single else inputs
        if not 1 <= len(items) <= MAX_BATCH:
            raise ValueError(f"expected 1 to {MAX_BATCH} photographs, got {len(items)}.")
        count = classes if isinstance(classes, int) else len(classes)
        with self.turn:
            # From the headers first: what is too much is refused before anything is decoded.
            pixels = sum(_named(number, single, _pixels, item) for number, item in enumerate(items))
            if pixels * count > MAX_WORK:
                raise ValueError(
                    f"{pixels:,} pixels times {count} classes are more than {MAX_WORK:,}: send smaller or fewer "
                    "photographs, or ask for fewer classes."
                )
            # Then one at a time: only one decoded photograph is in memory.
            prepared = [_named(number, single, self._prepare, item) for number, item in enumerate(items)]
            results = [
                self._answers(prediction, size, threshold, mask)
                for prediction, (_, size) in zip(self._predict(prepared, classes), prepared, strict=True)
            ]
        return results[0] if single else results

    def _prepare(self, item: Any) -> tuple[torch.Tensor, tuple[int, int]]:
        """The input of the model for a photograph, and its height and width."""
        image = self.load_image(_file(item), MAX_PIXELS, FORMATS)
        return self.processor(image, return_tensors="pt").pixel_values, (image.height, image.width)

    def _predict(self, prepared: list[tuple[torch.Tensor, tuple[int, int]]], classes: int | list[int]) -> list[Any]:
        """One prediction for each photograph: in one batch, unless the processor gives them different sizes."""
        pixel_values = [values for values, _ in prepared]
        if len({values.shape for values in pixel_values}) > 1:
            return [self.model.predict(values, classes) for values in pixel_values]
        batch = self.model.predict(torch.cat(pixel_values), classes)
        return [batch[row] for row in range(len(prepared))]

    def _answers(self, prediction: Any, size: tuple[int, int], threshold: float, mask: str) -> list[dict[str, Any]]:
        answers = []
        for slot in range(prediction.scores.shape[1]):
            # Masks of the size of the photograph can be large: one at a time.
            ((record,),) = self.processor.post_process_records(
                prediction[0, slot], [size], self.model.config.id2label, threshold, masks=mask != "none"
            )
            answer = {"label": record["label"], "score": record["score"], "box": record["box"]}
            answer["doubt"] = prediction.doubts()[0]
            if mask != "none":
                answer["mask"] = (_png if mask == "png" else _run_lengths)(record["mask"])
            answers.append(answer)
        return answers

    def _checked(self, parameters: dict[str, Any]) -> tuple[int | list[int], float, str]:
        """The classes to explain (their number, or indices), the threshold and the format of the masks."""
        unknown = [name for name in parameters if name not in PARAMETERS]
        if unknown:
            raise ValueError(f"the parameters are {', '.join(PARAMETERS)}, got {_shown(unknown[0])}.")
        if "top_k" in parameters and "labels" in parameters:
            raise ValueError("give top_k or labels, not both.")
        most = min(MAX_CLASSES, self.model.config.num_labels)
        classes: int | list[int]
        if "labels" in parameters:
            names = parameters["labels"]
            names = names if isinstance(names, list) else [names]
            if not 1 <= len(names) <= most:
                raise ValueError(f"labels must be 1 to {most} names or indices of classes, got {len(names)}.")
            classes = [self._class(name) for name in names]
        else:
            number = _number(parameters.get("top_k", 1))
            if type(number) is not int or number < 1:
                raise ValueError(f"top_k must be an integer of at least 1, got {_shown(parameters['top_k'])}.")
            classes = min(number, most)
        threshold = _number(parameters.get("threshold", 0.5))
        if threshold is None or not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a number in 0 ... 1, got {_shown(parameters['threshold'])}.")
        mask = parameters.get("mask", "png")
        if mask not in ("png", "rle", "none"):
            raise ValueError(f"mask must be 'png', 'rle' or 'none', got {_shown(mask)}.")
        return classes, threshold, mask

    def _class(self, name: Any) -> int:
        config = self.model.config
        if isinstance(name, str) and name in config.label2id:
            return int(config.label2id[name])
        index = _number(name)
        if type(index) is not int or not 0 <= index < config.num_labels:
            known = ", ".join(list(config.label2id)[:10])
            raise ValueError(
                f"there is no class {_shown(name)}; the indices are 0 ... {config.num_labels - 1}, the first classes "
                f"are: {known}."
            )
        return index


def _unpack(data: Any) -> tuple[Any, dict[str, Any]]:
    if not isinstance(data, dict):
        return data, {}
    if "inputs" not in data or set(data) - {"inputs", "parameters"}:
        raise ValueError(f"a request has the keys 'inputs' and, optionally, 'parameters'; got {_shown(list(data))}.")
    parameters = data.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ValueError(f"'parameters' must be an object, got {type(parameters).__name__}.")
    return data["inputs"], {name: value for name, value in parameters.items() if value is not None}


def _named(number: int, single: bool, function: Any, *arguments: Any) -> Any:
    """Call a function; an error says which photograph of a list it is about."""
    try:
        return function(*arguments)
    except ValueError as error:
        if single:
            raise
        raise ValueError(f"inputs[{number}]: {error}") from error


def _number(value: Any) -> int | float | None:
    """A number, also if it is given as plain decimal text; else None."""
    if isinstance(value, str) and len(value) <= 20:
        text = value.strip()
        if re.fullmatch("[0-9]+", text):
            return int(text)
        return float(text) if re.fullmatch(r"[0-9]*\.[0-9]+", text) else None
    return value if type(value) in (int, float) else None


def _shown(value: Any) -> str:
    """Short, however long or deep the value is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a value of the type {type(value).__name__}"


def _file(item: Any) -> bytes | bytearray | Image.Image:
    """The bytes of a photograph's file, or the PIL image that was given."""
    if isinstance(item, str):
        if len(item) > MAX_BYTES * 7 / 5:  # base64 is longer by a third, and can have line breaks
            raise ValueError(f"the photograph is larger than {MAX_BYTES:,} bytes.")
        if item[:5].lower() == "data:":
            item = item.partition(",")[2]
        try:
            item = base64.b64decode("".join(item.split()), validate=True)
        except ValueError as error:
            raise ValueError(f"a photograph as text must be base64 of an image file: {error}.") from error
    if not isinstance(item, (bytes, bytearray, Image.Image)):
        raise ValueError(f"a photograph must be bytes or base64, got {type(item).__name__}.")
    if not isinstance(item, Image.Image) and len(item) > MAX_BYTES:
        raise ValueError(f"the photograph has {len(item):,} bytes, more than {MAX_BYTES:,}.")
    return item


def _pixels(item: Any) -> int:
    """The number of pixels of a photograph, from its header. Refuses sizes beyond the limits."""
    image = _file(item)
    try:
        if not isinstance(image, Image.Image):
            image = Image.open(io.BytesIO(image), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"the photograph has more than {MAX_PIXELS:,} pixels.") from error
    except Exception as error:  # decoders can raise any error on malformed bytes
        formats = ", ".join(FORMATS)
        raise ValueError(f"not an image, or a corrupt one, or not in a supported format ({formats}).") from error
    size = f"the photograph has {image.width} x {image.height} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{size}, more than {MAX_PIXELS:,}.")
    if max(image.size) > MAX_SIDE:
        raise ValueError(f"{size}; a side may have {MAX_SIDE:,}.")
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ValueError(f"{size}; one side may be {MAX_ASPECT} times as long as the other.")
    return image.width * image.height


def _png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1])).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges]).tolist()}
