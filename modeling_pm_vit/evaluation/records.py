"""Records of images on disk: an evaluation can be interrupted, continued, extended and shared among processes."""

from pathlib import Path

import numpy as np

from ..utils.files import atomic_write
from ..utils.resuming import keep_settings


class RecordStore:
    """
    A folder with one file for each protocol, explainer and part of the images.

    A file is written whole or not at all, whenever the process is killed. Reading takes the parts in order, so that the
    records do not depend on which process wrote which.

    Args:
        folder: of the store; made if it is not there.
        settings: all that the records depend on, as JSON takes it.

    Raises:
        ValueError: if the folder holds records of other settings; names the first that differs.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder = folder
        keep_settings(folder / "settings.json", settings, "records")

    def path(self, protocol: str, explainer: str, part: int) -> Path:
        return self.folder / protocol / explainer / f"{part:06d}.npz"

    def has(self, protocol: str, explainer: str, part: int) -> bool:
        return self.path(protocol, explainer, part).exists()

    def write(self, protocol: str, explainer: str, part: int, records: dict[str, np.ndarray]) -> None:
        with atomic_write(self.path(protocol, explainer, part)) as temporary, temporary.open("wb") as file:
            np.savez(file, **records)

    def read(self, protocol: str, explainer: str, parts: int) -> dict[str, np.ndarray] | None:
        """The records of parts 0 ... `parts` - 1 as one, or `None` if one of them is missing or none has an image."""
        loaded = []
        for part in range(parts):
            if not self.has(protocol, explainer, part):
                return None
            with np.load(self.path(protocol, explainer, part), allow_pickle=False) as file:
                if file.files:
                    loaded.append({name: file[name] for name in file.files})
        if not loaded:
            return None
        return {name: np.concatenate([records[name] for records in loaded]) for name in loaded[0]}
