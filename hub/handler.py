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
    instances (default 0): up to so many connected parts of each mask, the largest first, as a list `instances` of
        {"box": {...}, "area": in pixels, "score": mean probability of these}; min_area (default 1): of a part.
A request that cannot be answered raises a ValueError with the reason; the endpoint answers with status 400.

The folder `onnx` runs in ONNX Runtime, without torch and transformers. Where it is missing, the weights run in torch.
"""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class EndpointHandler:
    """Args: path: the published repository."""

    def __init__(self, path: str = ""):
        folder = Path(path).resolve()
        package = _as_package(folder)
        if importlib.import_module(f"{package}.serving.exported").find_export(folder):
            engine = importlib.import_module(f"{package}.serving.graph").Graph(folder)
        else:
            engine = _TorchEngine(path)
        self._answer = importlib.import_module(f"{package}.serving.answers").Answerer(engine)

    def __call__(self, data: Any) -> list[Any]:
        return self._answer(data)


def _as_package(folder: Path) -> str:
    """The name under which the files of a folder can be imported; they import one another by relative imports."""
    name = "pm_vit_" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules.setdefault(name, package)
    return name


class _TorchEngine:
    """The weights in torch, on the GPU if there is one, with the image processor of the repository."""

    def __init__(self, path: str):
        try:
            import torch
            import transformers

            if tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 23):
                raise ImportError(f"transformers is {transformers.__version__}")
        except ImportError as error:
            raise RuntimeError(
                f"{path} has no folder onnx, so it needs torch and transformers 5.23 or newer, but {error}: publish "
                "with `--onnx`; if the repository has the folder, let the server download it (HF_FRAMEWORK=onnx)."
            ) from error
        model = transformers.AutoModelForImageClassification.from_pretrained(path, trust_remote_code=True)
        self._model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._processor = transformers.AutoImageProcessor.from_pretrained(path, trust_remote_code=True)
        self.labels = [model.config.id2label[index] for index in range(model.config.num_labels)]

    def prepare(self, image: Any) -> Any:
        return self._processor(image, return_tensors="np").pixel_values[0]

    def run(self, pixel_values: Any) -> tuple[Any, Any, list[str | None]]:
        import torch

        found = self._model.predict(torch.from_numpy(pixel_values), range(len(self.labels)))
        maps = found.mask_logits.cpu().double().sigmoid().float().numpy()
        return found.scores.numpy(), maps, found.doubts()

    def placement(self, size: tuple[int, int], grid: tuple[int, int]) -> Any:
        return self._processor.placement(size, grid)
