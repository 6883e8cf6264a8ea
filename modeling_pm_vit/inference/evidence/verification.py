"""Computes the records of `pm-vit explain --evidence` again and compares."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from ...utils.errors import InputError, NotFoundError
from ..photographs import Failure
from ..predictor import predict
from .record import SCHEMA, SCHEMA_VERSION, Computation, Settings, answer, map_probabilities, read, sha256

# Largest difference of a probability on another machine or with other libraries, by precision.
TOLERANCES = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 1e-2, "int8": 5e-2}


@dataclass
class Verified:
    """
    The result of one record.

    Attributes:
        record: its file.
        faults: what is not as recorded; empty if all is.
        notes: what differs without a fault, such as versions of libraries.
        difference: the largest of all probabilities, of classes and of maps; `None` if they were not computed.
    """

    record: Path
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    difference: float | None = None


def find_records(places: Sequence[Path]) -> list[Path]:
    """
    Record files: as given, or those of a folder that `pm-vit explain --evidence` wrote.

    Raises:
        NotFoundError: if a place has none.
    """
    found: list[Path] = []
    for place in places:
        records = [place] if place.is_file() else sorted((place / "records").glob("*.json"))
        if not records:
            raise NotFoundError(
                f"{place} has no records: give record files, or a folder of `pm-vit explain --evidence`."
            )
        found += records
    return found


def verify(record_file: Path, images: Path, computation_of: Callable[[Settings], Computation]) -> Verified:
    """
    Compare one record with what is computed now.

    Args:
        record_file: of [`write_evidence`].
        images: the folder under which the image has the name that is recorded.
        computation_of: opens the model that is said to have computed it, with the settings of a record.

    Raises:
        InputError: if the file is no record of a known version.
    """
    record = _record(record_file)
    verified = Verified(record_file)
    faults = verified.faults
    settings = Settings(
        **record["settings"] | {"window": record["settings"]["window"] and tuple(record["settings"]["window"])}
    )
    computation = computation_of(settings)
    predictor, now = computation.predictor, computation.entries
    path = images / record["image"]["file"]
    if not path.is_file():
        faults.append(f"there is no image {path}")
        return verified
    if sha256(path) != record["image"]["sha256"]:
        faults.append("the image is not the recorded one: its hash differs")
    # Records of earlier versions do not state all settings of the calibration.
    stated = {name: now["model"]["calibration"].get(name) for name in record["model"]["calibration"]}
    for name, value in (now["model"] | {"calibration": stated}).items():
        if name in ("weights", "computed_with", "calibration") and value != record["model"][name]:
            faults.append(f"the model's {name} is {value}, recorded is {record['model'][name]}")
    if now["preprocessing"] != record["preprocessing"]:
        faults.append("the settings of the image processor differ")
    maps = record_file.parent.parent / record["maps"]["file"]
    if not maps.is_file():
        faults.append(f"there is no file {record['maps']['file']}")
    elif sha256(maps) != record["maps"]["sha256"]:
        faults.append("the maps are not the recorded ones: their hash differs")
    verified.notes += [
        f"{name} {now['versions'].get(name, 'is not installed')}, recorded is {recorded}"
        for name, recorded in record["versions"].items()
        if now["versions"].get(name) != recorded
    ]
    photograph = read(predictor, path, settings)
    if isinstance(photograph, Failure):
        faults.append(photograph.reason)
        return verified
    (prediction,) = predict(predictor, [photograph])
    found = answer(predictor, photograph, prediction, settings.threshold, record["expected"])
    if found["scores"].keys() != record["scores"].keys():
        faults.append("the classes of the model are not the recorded ones")
        return verified
    differences = [abs(score - record["scores"][name]) for name, score in found["scores"].items()]
    if maps.is_file():
        stored, computed = load_file(maps)["probabilities"], map_probabilities(prediction)
        if stored.shape != computed.shape:
            faults.append(f"the maps have the shape {tuple(computed.shape)}, recorded is {tuple(stored.shape)}")
        else:
            differences.append(float((stored - computed).abs().max()))
    verified.difference = max(differences)
    tolerance = TOLERANCES[settings.precision]
    if not verified.difference <= tolerance:
        faults.append(f"probabilities differ by up to {verified.difference:.2g}, allowed is {tolerance:g}")
    if found["predicted"] != record["predicted"] and verified.difference > tolerance:
        faults.append(f"the predicted class is {found['predicted']!r}, recorded is {record['predicted']!r}")
    return verified


def _record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise InputError(f"{file} is no record of `pm-vit explain --evidence`.")
    if record.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{file} has version {record.get('schema_version')} of the record, expected {SCHEMA_VERSION}: verify it "
            f"with pm-vit {record.get('versions', {}).get('pm-vit', 'of its time')}."
        )
    return record
