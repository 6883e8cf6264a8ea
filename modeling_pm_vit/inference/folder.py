"""Writes explanations of photographs to a folder: a JSON of classes, scores and boxes; overlays and a page."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..confidence_pm_vit import DOUBT_TEXTS
from ..explanation_pm_vit import Prediction
from ..image_loading_pm_vit import Window
from ..regions_pm_vit import Regions
from ..utils.errors import InputError
from ..utils.files import write_json
from ..utils.html import write_page
from ..visualization import overlay
from .files import names_of, reader_hint, unique_stems
from .photographs import Failure, Photograph, in_batches, read_photograph
from .predictor import Predictor, predict, records_of
from .written import DOCUMENT, PAGE, WrittenFiles, pictures_of

_PREVIEW_SIDE = 640
_JPEG: dict[str, Any] = {"quality": 92, "subsampling": 0}  # 40 times faster than PNG; lines stay sharp


def explain_files(
    predictor: Predictor,
    paths: Sequence[Path],
    output: Path,
    threshold: float = 0.5,
    opacity: float = 0.6,
    batch_size: int = 4,
    workers: int = 2,
    pictures: bool = True,
    window: Window | None = None,
    instances: int = 0,
    min_area: int = 1,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """
    Explain the files and write `explanations.json` to `output`. With `pictures`, also write `overlays/` (JPEGs of the
    size of the image, one per image and class), `previews/` (small JPEGs for the page) and `index.html`. Pictures and
    page of an earlier run in this folder are removed; other files are left alone.

    Args:
        paths: what [`find_images`] returned; or paths, which are named by their file names.
        threshold: probability of the contour, and from which a pixel belongs to a class.
        opacity: of the tint where the probability is 1.
        workers: number of threads that read, and of threads that write, while the model runs.
        instances, min_area: the largest number of connected parts of each mask in the JSON, and their smallest area in
            pixels.
        pictures: if False, large JPEGs are decoded at a reduced size (see [`read_photograph`]).
        window: of grey images, see [`load_image`].

    Returns:
        The content of the JSON, and `file` and `reason` of files that could not be read or written. A bad file does not
        stop the others. They hold the names of the files, not their folders.

    Raises:
        InputError: if there are no paths, a number is out of range, or a file that is not of this function would be
            overwritten.
    """
    require_settings(threshold=threshold, opacity=opacity, batch_size=batch_size, workers=workers)
    names, stems = names_of(paths), unique_stems(paths)
    if not names:
        raise InputError("there is no image to explain.")
    output.mkdir(parents=True, exist_ok=True)
    written = WrittenFiles(output)
    records: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    waiting: deque[tuple[Path, Future[dict[str, Any]] | Failure]] = deque()

    def collect(most: int) -> None:
        while len(waiting) > most:
            path, found = waiting.popleft()
            try:
                if isinstance(found, Failure):
                    raise ValueError(found.reason)
                records.append(found.result())
            except (OSError, ValueError) as error:
                failures.append({"file": names[path], "reason": shown_reason(str(error), path, names[path], output)})
            progress.update()

    tiles = getattr(predictor, "tiles", None)
    read = partial(
        read_photograph, processor=predictor.image_processor, keep_image=pictures, tiles=tiles, window=window
    )
    work: dict[str, Any] = {"threshold": threshold, "opacity": opacity, "instances": instances, "min_area": min_area}
    explained = partial(_explained, predictor, output, **work)
    progress = tqdm(total=len(names), unit="image", desc="explaining")
    with progress, ThreadPoolExecutor(workers) as pool:
        for batch in in_batches(names, read, batch_size, workers):
            readable = [found for _, found in batch if isinstance(found, Photograph)]
            predictions = predict(predictor, readable)
            for path, found in batch:
                if isinstance(found, Failure):
                    waiting.append((path, found))
                    continue
                prediction = next(predictions)
                if pictures and not written.announced:
                    classes = prediction.explain_labels.shape[1]
                    written.announce([PAGE, *(name for s in stems.values() for name in _pictures(s, classes))])
                stem = stems[path] if pictures else None
                waiting.append((path, pool.submit(explained, names[path], found, prediction, stem)))
            collect(2 * batch_size)
        collect(0)
    document = {"threshold": threshold, "images": records, "failed": failures}
    if pictures and not written.announced:
        written.announce([PAGE])
    write_json(output / DOCUMENT, document)
    if pictures:
        _write_page(output / PAGE, records, failures, threshold)
    written.keep([PAGE, *(name for record in records for name in pictures_of(record))] if pictures else [])
    return records, failures


def require_settings(**settings: float) -> None:
    """Raises InputError if a threshold or an opacity is not in [0, 1], or another number is not at least 1."""
    for name, value in settings.items():
        if name in ("threshold", "opacity") and not 0 <= value <= 1:
            raise InputError(f"{name} must lie in [0, 1], got {value}.")
        if name not in ("threshold", "opacity") and not value >= 1:
            raise InputError(f"{name} must be at least 1, got {value}.")


def shown_reason(reason: str, path: str | Path | None, name: str | None, output: Path | None = None) -> str:
    """Why a file failed, without the folders of the file and the results, and what to install if that helps."""
    if path is None or name is None:
        return reason
    path = Path(path)
    for full in (str(path.absolute()), str(path)):
        reason = reason.replace(full, name)
    if output is not None:
        reason = reason.replace(f"{output}/", "")
    hint = reader_hint(path.suffix)
    return f"{reason} To read {path.suffix} files: {hint}" if hint else reason


def _explained(
    predictor: Predictor,
    output: Path,
    name: str,
    photograph: Photograph,
    prediction: Prediction,
    stem: str | None,
    threshold: float,
    opacity: float,
    instances: int,
    min_area: int,
) -> dict[str, Any]:
    """The record of one image for the JSON. With a stem for their names, its pictures are written."""
    height, width = photograph.size
    record: dict[str, Any] = {"file": name, "width": width, "height": height}
    classes = prediction.explain_labels.shape[1]
    preview_name, *overlay_names = _pictures(stem or "", classes)
    image = None if stem is None else photograph.image
    assert not isinstance(image, Regions)  # with pictures, the whole image was kept
    if image is not None:
        preview = image.copy()
        preview.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        record["preview"] = preview_name
        preview.save(output / record["preview"], quality=85)
    if prediction.confidence is not None:
        record |= {"confidence": round(float(prediction.confidence[0]), 6), "doubt": prediction.doubts()[0]}
    record["classes"] = []
    for slot in range(classes):  # one by one: the map of a large image needs much memory
        of_class = prediction[0, slot]
        (found,) = records_of(predictor, photograph, of_class, threshold, instances, min_area, image is not None)
        heatmap = found.pop("heatmap", None)
        found |= {name: round(found[name], 6) for name in ("score", "area", "max_probability")}
        for part in found.get("instances", ()):
            part["score"] = round(part["score"], 6)
        if image is not None:
            found["overlay"] = overlay_names[slot]
            caption = f"{found['label']} {100 * found['score']:.1f} %"
            overlay(image, heatmap, threshold, opacity, [caption]).save(output / found["overlay"], **_JPEG)
        record["classes"].append(found)
    return record


def _pictures(stem: str, classes: int) -> list[str]:
    """The names of the preview and of the overlays of an image."""
    return [f"previews/{stem}.jpg", *(f"overlays/{stem}-{slot + 1}.jpg" for slot in range(classes))]


def _write_page(path: Path, records: list[dict[str, Any]], failures: list[dict[str, str]], threshold: float) -> None:
    write_page(
        path,
        "What the model saw",
        [_card(record) for record in records]
        + [{"title": failure["file"], "failed": failure["reason"]} for failure in failures],
        notes=[
            f"The tint is as strong as the probability that the class is at that place (0 to 1, the same scale "
            f"everywhere); the line encloses probabilities of at least {threshold:g}."
        ],
    )


def _card(record: dict[str, Any]) -> dict[str, Any]:
    images: list[dict[str, Any]] = [{"source": record["preview"], "caption": f"{record['width']} x {record['height']}"}]
    for found in record["classes"]:
        place = f"{100 * found['area']:.0f} % of the image" if found["box"] else "nowhere above the threshold"
        caption = f"{found['label']}: {100 * found['score']:.1f} %, {place}"
        if len(found.get("instances", ())) > 1:
            caption += f", in {len(found['instances'])} parts"
        images.append({"source": found["overlay"], "caption": caption, "score": found["score"]})
    return {"title": record["file"], "images": images, "text": DOUBT_TEXTS.get(record.get("doubt") or "", "")}
