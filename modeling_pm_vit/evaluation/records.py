"""Records of images on disk: an evaluation can be interrupted, resumed, extended and shared among processes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics.metric import Records
from ..utils.errors import InputError
from ..utils.files import atomic_write
from ..utils.resuming import keep_settings

_SETTINGS = "settings.json"


class RecordStore:
    """
    A folder with one file for each metric, explainer and part of the images.

    A file is written completely or not at all, whenever the process is killed. Reading takes the parts in order, so the
    records do not depend on which process wrote which. What all records depend on is kept in the folder, and what those
    of one metric, or of one metric and explainer, depend on in theirs.

    Args:
        folder: of the store; created if needed.
        settings: all that every record depends on, as JSON.

    Raises:
        InputError: if the folder holds records of other settings (names the first that differs), or of a version of
            this package whose values differ.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder = folder
        file = folder / _SETTINGS
        if file.exists() and "limits" in json.loads(file.read_text(encoding="utf-8")):
            raise InputError(
                f"{folder} holds records of an earlier version of pm-vit, whose values differ: choose another folder, "
                "or remove this one."
            )
        keep_settings(file, settings, "records")

    def keep(self, settings: Mapping[str, Any], metric: str, explainer: str = "") -> None:
        """
        State what the records of a metric, or of a metric and explainer, depend on, beside the settings of the store.

        Raises:
            InputError: if the folder has them with other settings; names the first that differs.
        """
        keep_settings(self.folder / metric / explainer / _SETTINGS, settings, "records")

    def settings(self, metric: str, explainer: str = "") -> dict[str, Any] | None:
        """What [`keep`] stated; None if there are no such records."""
        file = self.folder / metric / explainer / _SETTINGS
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def path(self, metric: str, explainer: str, part: int) -> Path:
        """Where a part is written."""
        return self.folder / metric / explainer / f"{part:06d}.npz"

    def has(self, metric: str, explainer: str, part: int) -> bool:
        return self.path(metric, explainer, part).exists()

    def write(self, metric: str, explainer: str, part: int, records: Records) -> None:
        with atomic_write(self.path(metric, explainer, part)) as temporary, temporary.open("wb") as file:
            np.savez(file, **records)  # type: ignore[arg-type]

    def read(self, metric: str, explainer: str, parts: int) -> dict[str, np.ndarray] | None:
        """The records of parts 0 ... `parts` - 1 as one, or None if one of them is missing or none has an image."""
        paths = [self.path(metric, explainer, part) for part in range(parts)]
        if not all(path.exists() for path in paths):
            return None
        loaded = []
        for path in paths:
            with np.load(path, allow_pickle=False) as file:
                if file.files:
                    loaded.append({name: file[name] for name in file.files})
        return {name: np.concatenate([records[name] for records in loaded]) for name in loaded[0]} if loaded else None
