"""What a folder of results was made with, kept beside them, so that results of other settings are never mixed in."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def keep_settings(path: Path, settings: Mapping, what: str) -> dict:
    """
    Write the settings, or find that the same are there.

    Args:
        path: of the JSON file; its folder is there.
        settings: all that the results depend on, as JSON takes it.
        what: the results, for the message.

    Returns:
        The settings as JSON gives them back.

    Raises:
        ValueError: if others are there; names the first that differs.
    """
    settings = json.loads(json.dumps(settings))
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted(before.keys() | settings.keys()):
            if before.get(name) != settings.get(name):
                raise ValueError(
                    f"{path.parent} holds {what} with {name} = {before.get(name)!r}, asked for "
                    f"{settings.get(name)!r}: choose another folder, or remove this one."
                )
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    part.replace(path)
    return settings
