"""The engine without torch: a graph that `pm-vit export` wrote, in ONNX Runtime."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from ..confidence_pm_vit import DOUBTS, confidence_of
from ..maps_pm_vit import Placement


class Graph:
    """
    An exported graph, with numpy and Pillow around it.

    Args:
        folder: of the export.
        precision: `"fp32"`, `"fp16"` or `"int8"`, if it was exported.
        threads: of ONNX Runtime; by default one for each core.
        sha256: what the file of the graph must have. In any case it must have the hash that `model.json` states.

    Raises:
        FileNotFoundError: if the folder is not an export.
        ValueError: if it does not have this precision, or a file was changed.
    """

    def __init__(self, folder: Path, precision: str = "fp32", threads: int = 0, sha256: str | None = None):
        import onnxruntime

        if not (folder / "model.json").is_file():
            raise FileNotFoundError(
                f"expected a folder that `pm-vit export` wrote, {folder / 'model.json'} is missing."
            )
        model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if precision not in model["files"]:
            raise ValueError(f"{folder} has no graph in {precision}, only in {', '.join(model['files'])}.")
        path = folder / model["files"][precision]
        content = path.read_bytes()  # the session gets the bytes whose hash is compared
        self.sha256 = hashlib.sha256(content).hexdigest()
        for expected, source in ((model["agreement"][precision]["sha256"], "model.json"), (sha256, "the pinned hash")):
            if expected and self.sha256 != expected:
                raise ValueError(f"{path} has the SHA-256 {self.sha256}, but {source} states {expected}.")
        self.precision, self.labels = precision, list(model["labels"])
        self._config = SimpleNamespace(id2label=dict(enumerate(self.labels)), **model)
        self._size, self._resample = (model["height"], model["width"]), model["resample"]
        self._mean, self._std = np.float32(model["mean"]), np.float32(model["std"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def prepare(self, image: Image.Image) -> np.ndarray:
        height, width = self._size
        pixels = np.asarray(image.resize((width, height), self._resample), np.float32) / np.float32(255)
        return np.ascontiguousarray(((pixels - self._mean) / self._std).transpose(2, 0, 1))

    def run(self, pixel_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
        logits, scores, maps = self._session.run(["logits", "scores", "masks"], {"pixel_values": pixel_values})
        seen = maps[np.arange(len(maps)), logits.argmax(-1)].max((1, 2))
        _, doubts = confidence_of(scores, logits, seen, self._config)
        return scores, maps, [DOUBTS[number] for number in doubts]

    def placement(self, size: tuple[int, int], grid: tuple[int, int]) -> Placement:
        return Placement(size, self._size, (0, 0), self._size, self._size)  # the whole image is resized
