"""Writes records of explanations, with their maps, pictures and a page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tqdm import tqdm

from ...utils.errors import InputError
from ...utils.files import atomic_write, write_json
from ...utils.html import write_page
from ..files import names_of, unique_stems
from ..folder import shown_reason
from ..photographs import Failure
from ..predictor import Predictor, predict
from .pictures import write_pictures
from .record import (
    SCHEMA,
    SCHEMA_VERSION,
    Computation,
    Settings,
    answer,
    finds_several,
    map_probabilities,
    read,
    sha256,
)

_NOTES_OF_ONE = (
    "Each image: the map of the predicted class, that of the expected class (or of the second most probable), and the "
    "difference of their logits on each patch. The classifier is linear and the same at each patch, so the difference "
    "is exact: it is the map of the difference of the two classes."
)
_NOTES_OF_SEVERAL = (
    "Each image: the map of each class that is predicted (probability of at least one half) or expected. Missed: "
    "expected and not predicted."
)
_NOTE_ON_FILES = (
    "The files records/*.json hold hashes of the image, the model and the maps. `pm-vit verify` computes them again."
)


def write_evidence(
    predictor: Predictor,
    model: str,
    paths: Sequence[Path],
    output: Path,
    settings: Settings,
    expected: Mapping[Path, Sequence[str]] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """
    For each image a record `records/STEM.json`, its maps `maps/STEM.safetensors` and pictures, and a page of all:
    the predicted class against the expected one, or the second most probable if nothing is expected.

    Args:
        predictor: of PyTorch, ONNX Runtime or for tiles. Its classes are set to all of the model.
        model: its folder or Hub id.
        paths: what [`find_images`] returned; or paths, which are named by their file names.
        settings: those with which `predictor` was opened.
        expected: names of classes, of some images or none: one of each image, or any number if the model finds several
            in an image.

    Returns:
        The records, and `file` and `reason` of files that could not be read. A bad file does not stop the others.

    Raises:
        InputError: if the folder holds something, an expected class is none of the model's, or an image has not one of
            them although the model chooses one.
    """
    if output.is_dir() and any(output.iterdir()):
        raise InputError(f"{output} is not empty: give a new --output_dir, so that no earlier record is overwritten.")
    names, stems, classes = names_of(paths), unique_stems(paths), predictor.config.label2id
    several = finds_several(predictor)
    for path, labels in (expected or {}).items():
        for label in labels:
            if label not in classes:
                raise InputError(f"{names.get(path, path)}: the expected class {label!r} is none of the model's.")
        if len(labels) != 1 and not several:
            raise InputError(
                f"{names.get(path, path)}: {len(labels)} classes are expected ({', '.join(labels)}), and the model "
                "chooses one for each image."
            )
    common = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "settings": vars(settings)}
    common |= Computation.of(predictor, model).entries
    records, failures, cards = [], [], []
    for path in tqdm(paths, unit="image", desc="explaining"):
        photograph = read(predictor, path, settings)
        if isinstance(photograph, Failure):
            failures.append({"file": names[path], "reason": shown_reason(photograph.reason, path, names[path], output)})
            cards.append({"title": names[path], "failed": failures[-1]["reason"]})
            continue
        (prediction,) = predict(predictor, [photograph])
        record = common | {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "image": {"file": names[path], "sha256": sha256(path), "bytes": path.stat().st_size}
            | dict(zip(("height", "width"), photograph.size, strict=True)),
        }
        wanted = (expected or {}).get(path)
        truth = None if wanted is None else list(wanted) if several else wanted[0]
        record |= answer(predictor, photograph, prediction, settings.threshold, truth)
        maps = output / "maps" / f"{stems[path]}.safetensors"
        with atomic_write(maps) as part:
            save_file({"probabilities": map_probabilities(prediction)}, part)
        record["maps"] = {"file": f"maps/{maps.name}", "sha256": sha256(maps), "order": "classes of the model"}
        write_json(output / "records" / f"{stems[path]}.json", record)
        records.append(record)
        cards.append(write_pictures(predictor, photograph, prediction, record, output, stems[path]))
    notes = [_NOTES_OF_SEVERAL if several else _NOTES_OF_ONE, _NOTE_ON_FILES]
    write_page(output / "index.html", "Evidence", cards, notes=notes)
    return records, failures
