"""Writes explanations of photographs to a folder: a JSON of classes, scores and boxes; overlays and a page."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..explanation_pm_vit import Prediction
from ..utils.files import write_json
from ..utils.html import write_page
from ..visualization import overlay
from .files import unique_names
from .photographs import Failure, Photograph, in_batches, read_photograph
from .predictor import Predictor, explanation_of, predict

_PREVIEW_SIDE = 640
_JPEG: dict[str, Any] = {"quality": 92, "subsampling": 0}  # 40 times faster than PNG; lines stay sharp


def explain_files(
    predictor: Predictor,
    paths: Sequence[Path],
    output: Path,
    threshold: float = 0.5,
    opacity: float = 0.6,
    batch_size: int = 8,
    workers: int = 2,
    pictures: bool = True,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """
    Explain the files and write `explanations.json` to `output`. With `pictures`, also write `overlays/` (JPEGs of the
    size of the image, one per image and class), `previews/` (small JPEGs for the page) and `index.html`.

    Args:
        threshold: probability of the contour, and from which a pixel belongs to a class.
        opacity: of the tint where the probability is 1.
        workers: number of threads that read, and of threads that write, while the model runs.
        pictures: if False, large JPEGs are decoded at a reduced size (see [`read_photograph`]).

    Returns:
        The content of the JSON, and `file` and `reason` of files that could not be read or written. A bad file does not
        stop the others.
    """
    output.mkdir(parents=True, exist_ok=True)
    for folder in ("overlays", "previews") if pictures else ():
        (output / folder).mkdir(exist_ok=True)
    names = unique_names(paths)
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
                failures.append({"file": str(path), "reason": str(error)})
            progress.update()

    read = partial(read_photograph, processor=predictor.image_processor, keep_image=pictures)
    progress = tqdm(total=len(paths), unit="image", desc="explaining")
    with progress, ThreadPoolExecutor(workers) as pool:
        for batch in in_batches(paths, read, batch_size, workers):
            readable = [found for _, found in batch if isinstance(found, Photograph)]
            predictions = predict(predictor, readable)
            for path, found in batch:
                if isinstance(found, Failure):
                    waiting.append((path, found))
                    continue
                stem = names[path] if pictures else None
                work = (predictor, path, found, next(predictions), stem, output, threshold, opacity)
                waiting.append((path, pool.submit(_explained, *work)))
            collect(2 * batch_size)
        collect(0)
    document = {"threshold": threshold, "images": records, "failed": failures}
    write_json(output / "explanations.json", document)
    if pictures:
        _write_page(output / "index.html", records, failures, threshold)
    return records, failures


def _explained(
    predictor: Predictor,
    path: Path,
    photograph: Photograph,
    prediction: Prediction,
    stem: str | None,
    output: Path,
    threshold: float,
    opacity: float,
) -> dict[str, Any]:
    """The record of one image for the JSON. With a stem for their names, its pictures are written."""
    explanation = explanation_of(predictor, photograph, prediction, threshold)
    height, width = photograph.size
    record: dict[str, Any] = {"file": str(path), "width": width, "height": height}
    if stem is not None and photograph.image is not None:
        preview = photograph.image.copy()
        preview.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        record["preview"] = f"previews/{stem}.jpg"
        preview.save(output / record["preview"], quality=85)
    record["classes"] = []
    for slot, found in enumerate(predictor.image_processor.to_records(explanation)):
        heatmap = explanation["heatmaps"][slot].numpy()
        found |= {
            "score": round(found["score"], 6),
            "area": round(explanation["masks"][slot].float().mean().item(), 6),
            "max_probability": round(float(heatmap.max()), 6),
        }
        if stem is not None and photograph.image is not None:
            found["overlay"] = f"overlays/{stem}-{slot + 1}.jpg"
            overlay(photograph.image, heatmap, threshold, opacity).save(output / found["overlay"], **_JPEG)
        record["classes"].append(found)
    return record


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
        place = f"{found['area']:.0%} of the image" if found["box"] else "nowhere above the threshold"
        caption = f"{found['label']}: {found['score']:.1%}, {place}"
        images.append({"source": found["overlay"], "caption": caption, "score": found["score"]})
    return {"title": record["file"], "images": images}
