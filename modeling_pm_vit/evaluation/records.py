"""Records of images on disk: an evaluation can be interrupted, continued, extended and shared among processes."""

import json
import os
from pathlib import Path

import numpy as np


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
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            for name in sorted(before.keys() | settings.keys()):
                if before.get(name) != settings.get(name):
                    raise ValueError(
                        f"{folder} holds records with {name} = {before.get(name)!r}, asked for {settings.get(name)!r}: "
                        "choose another folder, or remove this one."
                    )
        _write_whole(path, json.dumps(settings, indent=1).encode())

    def path(self, protocol: str, explainer: str, part: int) -> Path:
        return self.folder / protocol / explainer / f"{part:06d}.npz"

    def has(self, protocol: str, explainer: str, part: int) -> bool:
        return self.path(protocol, explainer, part).exists()

    def write(self, protocol: str, explainer: str, part: int, records: dict[str, np.ndarray]) -> None:
        path = self.path(protocol, explainer, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")  # of one process only, and written over after a kill
        with temporary.open("wb") as file:
            np.savez(file, **records)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

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


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
