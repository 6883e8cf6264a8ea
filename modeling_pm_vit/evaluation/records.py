"""Records of images on disk: an evaluation can be interrupted, resumed, extended and shared among processes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..explainers.registry import RENAMED_EXPLAINERS
from ..metrics.metric import Records
from ..metrics.registry import RENAMED_METRICS, RENAMED_VALUES
from ..utils.files import atomic_write
from ..utils.names import names_of
from ..utils.resuming import keep_settings


class RecordStore:
    """
    A folder with one file for each metric, explainer and part of the images.

    A file is written completely or not at all, whenever the process is killed. Reading takes the parts in order, so the
    records do not depend on which process wrote which. Folders, settings and arrays under former names of metrics and
    explainers are read as well.

    Args:
        folder: of the store; created if needed.
        settings: all that the records depend on, as JSON.

    Raises:
        InputError: if the folder holds records of other settings; names the first that differs.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder = folder
        file = folder / "settings.json"
        keep_settings(file, _in_the_names_of(file, settings), "records")

    def path(self, metric: str, explainer: str, part: int) -> Path:
        """Where a part is written."""
        return self.folder / metric / explainer / f"{part:06d}.npz"

    def has(self, metric: str, explainer: str, part: int) -> bool:
        return self._found(metric, explainer, part) is not None

    def write(self, metric: str, explainer: str, part: int, records: Records) -> None:
        with atomic_write(self.path(metric, explainer, part)) as temporary, temporary.open("wb") as file:
            np.savez(file, **records)  # type: ignore[arg-type]

    def read(self, metric: str, explainer: str, parts: int) -> dict[str, np.ndarray] | None:
        """The records of parts 0 ... `parts` - 1 as one, or None if one of them is missing or none has an image."""
        loaded = []
        for part in range(parts):
            path = self._found(metric, explainer, part)
            if path is None:
                return None
            with np.load(path, allow_pickle=False) as file:
                if file.files:
                    loaded.append({RENAMED_VALUES.get(name, name): file[name] for name in file.files})
        if not loaded:
            return None
        return {name: np.concatenate([records[name] for records in loaded]) for name in loaded[0]}

    def _found(self, metric: str, explainer: str, part: int) -> Path | None:
        for metric_name in names_of(metric, RENAMED_METRICS):
            for explainer_name in names_of(explainer, RENAMED_EXPLAINERS):
                if (path := self.path(metric_name, explainer_name, part)).exists():
                    return path
        return None


def _in_the_names_of(file: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the former name of a metric among `limits` where the existing file has it."""
    before = json.loads(file.read_text(encoding="utf-8")).get("limits") if file.exists() else None
    if not before or not settings.get("limits"):
        return dict(settings)
    present = {RENAMED_METRICS.get(name, name): name for name in before}
    return {**settings, "limits": {present.get(name, name): count for name, count in settings["limits"].items()}}
