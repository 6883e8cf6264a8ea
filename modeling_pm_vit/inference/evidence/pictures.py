"""The pictures of a record: the maps of two classes, and their difference."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...explanation_pm_vit import Prediction
from ...overlay_pm_vit import overlay
from ..photographs import Photograph
from ..predictor import Predictor, heatmap_of

_SIDE = 640  # of the pictures
_POSITIVE, _NEGATIVE = np.array((213, 94, 0), np.float32), np.array((0, 114, 178), np.float32)  # Okabe and Ito, 2008


def write_pictures(
    predictor: Predictor,
    photograph: Photograph,
    prediction: Prediction,
    record: dict[str, Any],
    output: Path,
    stem: str,
) -> dict[str, Any]:
    """Pictures of one image and what the page shows of it."""
    assert isinstance(photograph.image, Image.Image)  # it was kept
    small = photograph.image.copy()
    small.thumbnail((_SIDE, _SIDE))
    size = (small.height, small.width)
    pictures: list[dict[str, Any]] = []

    def add(kind: str, picture: Image.Image, caption: str) -> None:
        path = output / "pictures" / f"{stem}-{kind}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, quality=90)
        pictures.append({"source": f"pictures/{path.name}", "caption": caption})

    add("image", small, f"{photograph.size[1]} x {photograph.size[0]}")
    index = predictor.config.label2id
    if isinstance(record["predicted"], list):
        for number, found in enumerate(record["classes"]):
            label = found["label"]
            map_of_class = heatmap_of(predictor, photograph, prediction.of_classes([index[label]]), size)
            caption = f"{_role(label, record)}: {label}, {100 * record['scores'][label]:.1f} %"
            add(f"class-{number}", overlay(small, map_of_class), caption)
        title = f"{record['image']['file']}: {', '.join(record['predicted']) or 'no class'}"
        return {"title": f"{title}, {_verdict(record)}", "images": pictures}
    shown = [index[name] for name in dict.fromkeys((record["predicted"], record["compared_with"]))]
    for kind, number in zip(("predicted", "compared"), shown, strict=False):
        label = predictor.config.id2label[number]
        map_of_class = heatmap_of(predictor, photograph, prediction.of_classes([number]), size)
        role = "predicted" if kind == "predicted" else "expected" if record["expected"] else "second"
        add(kind, overlay(small, map_of_class), f"{role}: {label}, {100 * record['scores'][label]:.1f} %")
    if len(shown) == 2:
        logits = prediction.mask_logits[0, shown].double()
        differences = (logits[0] - logits[1]).float().clamp(-50, 50)
        spread = float(differences.abs().max()) or 1.0
        # Of a probability the map is made by the same code as any other: from -spread ... spread to 0 ... 1 and back.
        scaled = prediction.of_classes(shown[:1])
        scaled.mask_logits = ((differences / spread + 1) / 2).clamp(1e-6, 1 - 1e-6).logit()[None, None]
        shares = heatmap_of(predictor, photograph, scaled, size) * 2 - 1
        first, second = (predictor.config.id2label[number] for number in shown)
        add(
            "difference",
            difference_image(small, shares),
            f"orange: {first}, blue: {second}; up to {spread:.2g} in logits",
        )
    verdict = {None: "nothing is expected", record["predicted"]: "as expected"}.get(
        record["expected"], "not as expected"
    )
    return {"title": f"{record['image']['file']}: {record['predicted']}, {verdict}", "images": pictures}


def _role(label: str, record: dict[str, Any]) -> str:
    """Of a class that a record shows, where any number can be predicted and expected."""
    if label in record.get("missed", ()):
        return "missed"
    if label in record.get("not_expected", ()):
        return "not expected"
    return "predicted" if label in record["predicted"] else "most probable"


def _verdict(record: dict[str, Any]) -> str:
    if record["expected"] is None:
        return "nothing is expected"
    faults = [(name, record[key]) for name, key in (("missed", "missed"), ("not expected", "not_expected"))]
    return "; ".join(f"{name}: {', '.join(labels)}" for name, labels in faults if labels) or "as expected"


def difference_image(image: Image.Image, differences: np.ndarray) -> Image.Image:
    """
    The difference of two classes' logits on an image: orange where the first is higher, blue where the second is. The
    strongest colour is the largest difference.

    Args:
        image: in RGB.
        differences: `(height, width)`, at the size of the image.
    """
    strength = (differences / max(1e-12, float(np.abs(differences).max())))[..., None].astype(np.float32)
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32) * 0.6 + 40
    colour = np.where(strength >= 0, _POSITIVE, _NEGATIVE)
    return Image.fromarray((grey + (colour - grey) * np.abs(strength) * 0.85).round().astype(np.uint8))
