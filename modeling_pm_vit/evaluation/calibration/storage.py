"""Writes what a calibration has found beside the weights: settings to `config.json`, references to the weights."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from ...configuration_pm_vit import UNCALIBRATED
from ...distance_pm_vit import FeatureDistance
from ...utils.errors import InputError
from ...utils.files import atomic_write, write_text

_WEIGHTS, _PREFIX = "model.safetensors", "distance."


def require_storable(folder: Path, needs_weights: bool) -> None:
    """
    Raises:
        InputError: if the folder has no `config.json`, or, where the weights may get references, no weights in one
            file.
    """
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder} has no config.json to store the temperatures in: give the folder of a model (of the Hub: "
            "download it first), or --report_only."
        )
    if needs_weights and not (folder / _WEIGHTS).is_file():
        raise InputError(
            f"{folder} has no {_WEIGHTS}, with which distances of features are stored: leave out --reference_split, or "
            "merge an adapter, and weights of several files, first."
        )


def store(folder: Path, settings: dict[str, Any], distance: FeatureDistance | None = None) -> None:
    """
    What was not fitted this time is as before any calibration.

    Args:
        settings: of the configuration.
        distance: whose references the score of confidence needs.
    """
    _store_references(folder / _WEIGHTS, {} if distance is None else distance.state_dict())
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | UNCALIBRATED | settings
    write_text(file, json.dumps(config, indent=2, sort_keys=True) + "\n")  # as transformers writes it


def _store_references(file: Path, references: dict[str, Any]) -> None:
    """In the place of those that are there. Without either the file is left alone."""
    if not file.is_file():
        return
    with safe_open(file, "pt") as weights:
        names = set(weights.keys())
        kept = {name for name in names if not name.startswith(_PREFIX)}
        if kept == names and not references:
            return
        tensors = {name: weights.get_tensor(name) for name in kept}
        about = weights.metadata()
    tensors |= {_PREFIX + name: tensor.contiguous() for name, tensor in references.items()}
    with atomic_write(file) as part:
        save_file(tensors, part, metadata=about)
