"""Answers: one photograph, a list of them, or several requests whose inputs are computed in common batches."""

import base64
import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..maps_pm_vit import Placement, box_record, find_instances, find_region, instance_records
from .requests import MAX_BATCH, Request, decode, read_request

MAX_OUTPUTS = 2**16  # inputs of a batch times classes of the model: their maps are 64 MiB with 16 x 16 patches


class Engine(Protocol):
    """A model that computes."""

    @property
    def labels(self) -> Sequence[str]:
        """The names of the classes."""

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The input of an image in RGB, `(channels, height, width)`, float32."""

    def run(self, pixel_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, Sequence[str | None]]:
        """
        Of inputs `(batch, channels, height, width)`: the scores of all classes, `(batch, classes)`, their probabilities
        at each patch, `(batch, classes, rows, columns)`, all float32, and the doubt of each photograph.
        """

    def placement(self, size: tuple[int, int], grid: tuple[int, int]) -> Placement:
        """Where an image of this (height, width) lies in its input, which has this grid of patches."""


@dataclass
class _Photograph:
    """A prepared photograph: the number of its request and its own, its input, and its (height, width)."""

    request: int
    number: int
    pixel_values: np.ndarray
    size: tuple[int, int]


class Answerer:
    """
    Answers requests with an engine, in one thread at a time: a waiting request needs no memory but its bytes.

    Called with a request (see `handler.py`), it returns the answer, or raises ValueError with the reason why there is
    none.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self._turn = threading.Lock()

    def __call__(self, data: Any) -> list[Any]:
        ((_, answer),) = self.answer_together([data])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer_together(self, requests: Sequence[Any]) -> Iterator[tuple[int, list[Any] | Exception]]:
        """
        Several requests, whose inputs are computed in common batches. Each number of a request comes with its answer,
        or with the error that it caused (ValueError: it cannot be answered), as soon as this is known.
        """
        with self._turn:
            checked: dict[int, Request] = {}
            prepared: list[_Photograph] = []
            for number, data in enumerate(requests):
                try:
                    request = read_request(data, self.engine.labels)
                    # Only one decoded photograph is in memory.
                    inputs = request.each(self._prepare)
                except Exception as error:
                    yield number, error
                    continue
                checked[number] = request
                prepared += [_Photograph(number, place, *one) for place, one in enumerate(inputs)]
            answers: dict[int, list[Any]] = {number: [None] * len(one.items) for number, one in checked.items()}
            for photograph, *outputs in self._run(prepared):
                number, request = photograph.request, checked[photograph.request]
                answers[number][photograph.number] = self._classes(request, photograph.size, *outputs)
                if all(one is not None for one in answers[number]):
                    found = answers.pop(number)
                    yield number, found[0] if request.single else found

    def _prepare(self, item: Any) -> tuple[np.ndarray, tuple[int, int]]:
        image = decode(item)
        return self.engine.prepare(image), (image.height, image.width)

    def _run(self, photographs: list[_Photograph]) -> Iterator[tuple[Any, ...]]:
        """Each photograph with its scores `(classes,)`, maps `(classes, rows, columns)` and doubt."""
        most = max(1, min(MAX_BATCH, MAX_OUTPUTS // len(self.engine.labels)))
        by_shape: dict[Any, list[_Photograph]] = {}
        for photograph in photographs:
            by_shape.setdefault(photograph.pixel_values.shape, []).append(photograph)
        for same in by_shape.values():
            for start in range(0, len(same), most):
                batch = same[start : start + most]
                outputs = self.engine.run(np.stack([photograph.pixel_values for photograph in batch]))
                yield from zip(batch, *outputs, strict=True)

    def _classes(
        self, request: Request, size: tuple[int, int], scores: np.ndarray, maps: np.ndarray, doubt: str | None
    ) -> list[dict[str, Any]]:
        wanted = request.classes
        indices = np.argsort(-scores, kind="stable")[:wanted].tolist() if isinstance(wanted, int) else wanted
        placement = self.engine.placement(size, (maps.shape[1], maps.shape[2]))
        answers = []
        for index in indices:  # masks of the size of the photograph can be large: one at a time
            region = find_region(maps[index], placement, request.threshold)
            box = region.box and box_record(region.box)
            answer = {"label": self.engine.labels[index], "score": float(scores[index]), "box": box, "doubt": doubt}
            if request.mask != "none":
                answer["mask"] = (_png if request.mask == "png" else _run_lengths)(region.mask)
            if request.instances:
                limits = (request.threshold, region.mask, request.instances, request.min_area)
                answer["instances"] = instance_records(find_instances(maps[index], placement, *limits))
            answers.append(answer)
        return answers


def _png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1])).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges]).tolist()}
