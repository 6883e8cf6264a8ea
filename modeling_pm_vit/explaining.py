"""Explaining many photographs: overlays, a JSON of classes, scores and boxes, and an HTML page."""

import glob
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from .image_processing_pm_vit import PMViTImageProcessor, load_image
from .modeling_pm_vit import PMViTForImageClassification
from .page import write_page
from .visualization import overlay

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_PREVIEW_SIDE = 640


@dataclass
class Failure:
    """A file that could not be explained, and why."""

    path: Path
    reason: str


def find_images(patterns: Iterable[str]) -> list[Path]:
    """
    Files as given, the images below folders, and what glob patterns (`**` included) match; sorted, each once.

    Raises:
        FileNotFoundError: if a pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            files = [path]
        else:
            files = sorted(Path(match) for match in glob.glob(pattern, recursive=True) if Path(match).is_file())
        if not files:
            raise FileNotFoundError(f"{pattern}: no such file, and no image matches it.")
        found |= dict.fromkeys(files)
    return list(found)


def explain_files(
    model: PMViTForImageClassification,
    image_processor: PMViTImageProcessor,
    paths: Sequence[Path],
    output: Path,
    explain_labels: int | Sequence[int | str] = 1,
    threshold: float = 0.5,
    opacity: float = 0.6,
    batch_size: int = 8,
) -> tuple[list[dict], list[Failure]]:
    """
    Explain the files and write, below `output`: `overlays/` (PNG, one an image and class, at the image's size),
    `previews/` (small JPEGs for the page), `explanations.json` and `index.html`.

    Args:
        explain_labels, threshold: as in [`PMViTForImageClassification.explain`].
        opacity: of the tint where the probability is 1.

    Returns:
        What the JSON holds, and the files that could not be read; one bad file does not stop the others.
    """
    for folder in ("overlays", "previews"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    names = _unique_names(paths)
    results: dict[Path, dict] = {}
    failures: list[Failure] = []
    with tqdm(total=len(paths), unit="image", desc="explaining") as progress:
        for batch in _loaded_batches(paths, batch_size, failures, progress):
            explanations = model.explain(
                [image for _, image in batch], explain_labels, image_processor=image_processor, threshold=threshold
            )
            for (path, image), explanation in zip(batch, explanations, strict=True):
                results[path] = _write(path, image, explanation, names[path], output, threshold, opacity)
                progress.update()
    records = [results[path] for path in paths if path in results]
    document = {
        "threshold": threshold,
        "images": records,
        "failed": [{"file": str(failure.path), "reason": failure.reason} for failure in failures],
    }
    (output / "explanations.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    write_page(
        output / "index.html",
        "What the model saw",
        [_card(record) for record in records]
        + [{"title": str(failure.path), "failed": failure.reason} for failure in failures],
        notes=[
            f"The tint is as strong as the probability that the class is at that place (0 to 1, the same scale "
            f"everywhere); the line encloses probabilities of at least {threshold:g}."
        ],
    )
    return records, failures


def _unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A file name for each path: its stem, with a number where several files share it."""
    names, taken = {}, set()
    for path in paths:
        name, number = path.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.lower())
        names[path] = name
    return names


def _loaded_batches(
    paths: Sequence[Path], size: int, failures: list[Failure], progress: tqdm
) -> Iterator[list[tuple[Path, Image.Image]]]:
    """Batches of readable images; the next batch is decoded while one is explained."""

    def load(path: Path) -> Image.Image | Failure:
        try:
            return load_image(path)
        except (OSError, ValueError) as error:
            return Failure(path, str(error))

    with ThreadPoolExecutor(max_workers=2) as pool:
        batches = [paths[start : start + size] for start in range(0, len(paths), size)]
        waiting = [pool.submit(load, path) for path in batches[0]] if batches else []
        for number, batch in enumerate(batches):
            loading, waiting = waiting, []
            if number + 1 < len(batches):
                waiting = [pool.submit(load, path) for path in batches[number + 1]]
            images = [future.result() for future in loading]
            failed = [image for image in images if isinstance(image, Failure)]
            failures += failed
            progress.update(len(failed))
            readable = [(p, image) for p, image in zip(batch, images, strict=True) if not isinstance(image, Failure)]
            if readable:
                yield readable


def _write(
    path: Path, image: Image.Image, explanation: dict, name: str, output: Path, threshold: float, opacity: float
) -> dict:
    """The pictures of one image; returns its record for the JSON."""
    preview = image.copy()
    preview.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    preview.save(output / "previews" / f"{name}.jpg", quality=85)
    record = {"file": str(path), "width": image.width, "height": image.height, "preview": f"previews/{name}.jpg"}
    record["classes"] = []
    for slot, label in enumerate(explanation["labels"]):
        heatmap, box = explanation["heatmaps"][slot].numpy(), explanation["boxes"][slot].tolist()
        file = f"overlays/{name}-{slot + 1}.png"
        overlay(image, heatmap, threshold, opacity).save(output / file)
        record["classes"].append(
            {
                "label": label,
                "score": round(explanation["scores"][slot].item(), 6),
                "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) if any(box) else None,
                "area": round(explanation["masks"][slot].float().mean().item(), 6),
                "max_probability": round(float(heatmap.max()), 6),
                "overlay": file,
            }
        )
    return record


def _card(record: dict) -> dict:
    images = [{"source": record["preview"], "caption": f"{record['width']} x {record['height']}"}]
    for found in record["classes"]:
        place = f"{found['area']:.0%} of the image" if found["box"] else "nowhere above the threshold"
        caption = f"{found['label']}: {found['score']:.1%}, {place}"
        images.append({"source": found["overlay"], "caption": caption, "score": found["score"]})
    return {"title": record["file"], "images": images}
