"""What results are stored with, so that they are not mixed with others: hashes of weights and of places."""

import glob
import hashlib
from pathlib import Path

from torch import nn

# Settings of a configuration that change answers, with the values of a model that was not calibrated.
_CALIBRATION = {
    **{"class_temperature": 1, "map_temperature": 1, "confidence_score": "max_probability"},
    **{"confidence_threshold": None, "empty_classes": None},
}


def fingerprint(model: nn.Module) -> str:
    """
    A hash of the weights, and of what a calibration has added to their configuration. Results are stored with it, so
    that results of other weights are not reused.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    for name, default in _CALIBRATION.items():
        value = getattr(getattr(model, "config", None), name, default)
        if value != default:
            digest.update(f"{name}={value}".encode())
    return digest.hexdigest()[:16]


def place_settings(name: str, *places: str) -> dict[str, str]:
    """
    Where something is, in a form that is stored and shown with results: of a path only the last part, because folders
    can have the names of persons, and a hash of all of it.

    Args:
        name: of the setting.
        places: paths, patterns or Hub ids, as the user gave them.

    Example:
        >>> place_settings("data", "org/birds")
        {'data': 'org/birds'}
        >>> sorted(place_settings("data", "/home/somebody/scans"))
        ['data', 'data_fingerprint']
    """
    shown = ", ".join(Path(place).name if _is_path(place) else place for place in places)
    digest = hashlib.sha256("\n".join(places).encode(errors="surrogateescape")).hexdigest()[:16]
    return {name: shown} | ({f"{name}_fingerprint": digest} if any(map(_is_path, places)) else {})


def _is_path(place: str) -> bool:
    return (
        place.startswith((".", "/", "~"))
        or place.count("/") > 1
        or glob.has_magic(place)
        or ("/" in place and Path(place).exists())
        or Path(place).is_absolute()
    )
