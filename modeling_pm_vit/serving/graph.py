"""A graph that `pm-vit export` wrote, in ONNX Runtime: an engine without torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from ..confidence_pm_vit import DOUBTS, confidence_of, graph_outputs
from ..maps_pm_vit import Placement
from .exported import DESCRIPTION, open_export


class Graph:
    """
    An exported graph, with numpy and Pillow around it.

    Args:
        folder: of the export.
        precision: `"fp32"`, `"fp16"` or `"int8"`, if it was exported.
        threads: of ONNX Runtime; by default one for each core.
        sha256: what the file of the graph must have. In any case it must have the hash that `model.json` states.
        providers: of ONNX Runtime, the preferred one first.

    Raises:
        FileNotFoundError: if the folder is not an export.
        ValueError: if it does not have this precision, or a file was changed.
    """

    def __init__(
        self,
        folder: Path,
        precision: str = "fp32",
        threads: int = 0,
        sha256: str | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ):
        import onnxruntime

        export = open_export(folder)
        path, model = export.graph(precision), export.description
        content = path.read_bytes()  # the session gets the bytes whose hash is compared
        self.sha256 = hashlib.sha256(content).hexdigest()
        stated = model.get("agreement", {}).get(precision, {}).get("sha256")
        for expected, source in ((stated, DESCRIPTION), (sha256, "the pinned hash")):
            if expected and self.sha256 != expected:
                raise ValueError(f"{path} has the SHA-256 {self.sha256}, but {source} states {expected}.")
        self.description, self.precision, self.labels = model, precision, list(model["labels"])
        self._config = SimpleNamespace(id2label=dict(enumerate(self.labels)), **model)
        self._size, self._resample = (model["height"], model["width"]), model["resample"]
        self._mean, self._std = np.float32(model["mean"]), np.float32(model["std"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(content, options, providers=list(providers))
        self._outputs = graph_outputs(self._config)

    @property
    def has_fixed_size(self) -> bool:
        """Whether the graph takes inputs of one height and width only."""
        return isinstance(self._session.get_inputs()[0].shape[-1], int)  # else the name of a dimension

    def prepare(self, image: Image.Image) -> np.ndarray:
        height, width = self._size
        pixels = np.asarray(image.resize((width, height), self._resample), np.float32) / np.float32(255)
        return np.ascontiguousarray(((pixels - self._mean) / self._std).transpose(2, 0, 1))

    def predict(self, pixel_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """
        Of inputs `(batch, channels, height, width)`: the scores of all classes, `(batch, classes)`; their probabilities
        at each patch, `(batch, classes, rows, columns)`; the confidence `(batch,)`; the doubt, `(batch,)` numbers in
        `DOUBTS`.
        """
        logits, scores, maps, *distance = self._session.run(self._outputs, {"pixel_values": pixel_values})
        seen = maps[np.arange(len(maps)), logits.argmax(-1)].max((1, 2))
        return scores, maps, *confidence_of(scores, logits, seen, self._config, *distance)

    def run(self, pixel_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
        scores, maps, _, doubts = self.predict(pixel_values)
        return scores, maps, [DOUBTS[number] for number in doubts]

    def placement(self, size: tuple[int, int], grid: tuple[int, int]) -> Placement:
        return Placement(size, self._size, (0, 0), self._size, self._size)  # the whole image is resized
