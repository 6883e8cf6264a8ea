"""What a record says of an explanation: how it was computed, from what, by what, and what was found."""

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ...confidence_pm_vit import NAMED
from ...configuration_pm_vit import UNCALIBRATED
from ...explanation_pm_vit import Prediction
from ...image_loading_pm_vit import Window
from ...serving.exported import GRAPHS
from ..photographs import Failure, Photograph, read_photograph
from ..predictor import Predictor, records_of

SCHEMA, SCHEMA_VERSION = "pm-vit evidence", 1


@dataclass(frozen=True)
class Settings:
    """How the images of a record were explained: the options of `pm-vit explain` that change a value."""

    backend: str = "torch"
    precision: str = "fp32"
    threshold: float = 0.5
    keep_aspect_ratio: bool = False
    tile: int | None = None
    overlap: float | None = None
    window: Window | None = None


@dataclass(frozen=True)
class Computation:
    """What computes the values of records: a predictor of all classes, and what a record says of it, hashed once."""

    predictor: Predictor
    entries: dict[str, Any]

    @classmethod
    def of(cls, predictor: Predictor, model: str) -> "Computation":
        """`model`: its folder or Hub id. The classes of the predictor are set to all of the model."""
        predictor.classes = list(range(predictor.config.num_labels))
        entries = {"model": _model(predictor, model), "preprocessing": _preprocessing(predictor)}
        return cls(predictor, entries | {"versions": _versions()})


def read(predictor: Predictor, path: Path, settings: Settings) -> Photograph | Failure:
    """An image, as it is explained for a record."""
    tiles = getattr(predictor, "tiles", None)
    return read_photograph(path, predictor.image_processor, True, tiles, settings.window)


def finds_several(predictor: Predictor) -> bool:
    """Whether an image can show any number of the classes; else it shows one."""
    config = predictor.config
    return config.problem_type == "multi_label_classification" or config.num_labels == 1


def answer(
    predictor: Predictor,
    photograph: Photograph,
    prediction: Prediction,
    threshold: float,
    expected: str | list[str] | None,
) -> dict[str, Any]:
    """
    What a record says of one image.

    Args:
        prediction: a batch of one, of all classes.
        expected: a class; a list of any number of them, if the model finds several; `None`: nothing is expected.
    """
    scores = prediction.scores[0]
    names = [predictor.config.id2label[index] for index in range(len(scores))]
    order = scores.argsort(descending=True).tolist()
    found: dict[str, Any]
    if finds_several(predictor):
        predicted = [names[index] for index in order if scores[index] >= NAMED]
        found = {"predicted": predicted, "expected": expected}
        if isinstance(expected, list):
            found |= {"missed": [name for name in expected if name not in predicted]}
            found |= {"not_expected": [name for name in predicted if name not in expected]}
        wanted = {*predicted, *(expected or ())}
        shown = [index for index in order if names[index] in wanted] or order[:1]
    else:
        top = order[0]
        other = order[min(1, len(order) - 1)] if expected is None else predictor.config.label2id[str(expected)]
        shown = [top] if other == top else [top, other]
        found = {"predicted": names[top], "expected": expected, "compared_with": names[other]}
    found["scores"] = {names[index]: float(scores[index]) for index in order}
    found["classes"] = records_of(predictor, photograph, prediction.of_classes(shown), threshold)
    if prediction.confidence is not None:
        found |= {"confidence": float(prediction.confidence[0]), "doubt": prediction.doubts()[0]}
    return found


def map_probabilities(prediction: Prediction) -> torch.Tensor:
    """`(classes, rows, columns)`, the probability of each class of the model on each patch, float32."""
    return prediction.mask_logits[0].double().sigmoid().float().contiguous()


def _model(predictor: Predictor, model: str) -> dict[str, Any]:
    """The model of a record: its name without its folders, a hash of its weights, and of each of its files."""
    folder = Path(model)
    files = [
        path
        for path in sorted([*folder.glob("*"), *folder.glob(f"{GRAPHS}/*")])
        if path.suffix in (".json", ".safetensors", ".onnx", ".data")
    ]
    calibration = {name: getattr(predictor.config, name) for name in UNCALIBRATED if hasattr(predictor.config, name)}
    settings = predictor.settings  # hashes the weights
    return {
        "name": folder.name if folder.is_dir() else model,
        "weights": settings["weights"],
        "computed_with": settings["computed_with"],
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
        "calibration": calibration,
    }


def _preprocessing(predictor: Predictor) -> dict[str, Any]:
    """The settings of the image processor, as values for JSON."""
    settings = predictor.image_processor.to_dict()
    kept: dict[str, Any] = json.loads(json.dumps(settings, default=lambda value: getattr(value, "value", str(value))))
    return {name: value for name, value in kept.items() if name != "auto_map"}


def _versions() -> dict[str, str]:
    """Of what computes the values of a record."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("pm-vit", "torch", "torchvision", "transformers", "onnxruntime", "pillow", "numpy", "pydicom"):
        try:
            found[name] = version(name)
        except ImportError:  # it is not installed
            continue
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
