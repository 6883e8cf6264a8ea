"""Explain the bundled photographs with the checkpoint that ships, beside Grad-CAM, attention rollout and patch logits.

    python scripts/demo.py
    python scripts/demo.py runs/photos --images mine/1.jpg mine/2.jpg
    python scripts/demo.py --picture docs/images/photographs.jpg

The maps of PM-ViT are probabilities, all on one scale. Those of the other methods have no scale of their own: each is
stretched from its lowest to its highest value.

Exit status: 0, or 2 for a wrong call.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor, figure, heatmap, load_image
from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.heatmaps import min_max, resized
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import PMViTError
from modeling_pm_vit.utils.html import write_page
from modeling_pm_vit.utils.pretrained import require_pretrained

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTOGRAPHS = {"cat.jpg": ["tabby"], "coffee.jpg": ["espresso"], "cat-and-coffee.jpg": ["tabby", "espresso"]}
METHODS = ("grad-cam", "patch-logits")
SIDE = 352  # of a picture, in pixels: three stand in a row of the page


@dataclass
class DemoArguments:
    model: str = option("", help="Folder or Hub id. Default: the checkpoint that ships.", positional=True)
    images: list[str] = option(default_factory=list, help="Photographs. Default: those in examples/.")
    output_dir: Path = option(Path("runs/demo-photographs"), help="Folder to write.")
    picture: Path | None = option(None, help="Also write the last photograph with all its maps as one picture.")


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        given = ArgumentParser(DemoArguments, command="demo.py", description=__doc__).parse(arguments or sys.argv[1:])
        name = given.model or require_pretrained()
        processor = load_processor(name)
        model = load_model(name).eval()
        photographs = {EXAMPLES / file: labels for file, labels in PHOTOGRAPHS.items()}
        if given.images:
            photographs = {Path(image): [] for image in given.images}
        rows = [explained(path, labels, model, processor) for path, labels in photographs.items()]
    except (PMViTError, ValueError, FileNotFoundError) as error:
        print(f"demo.py: {error}", file=sys.stderr)
        return 2
    cards = []
    for path, panels in zip(photographs, rows, strict=True):
        images = []
        for number, (caption, picture) in enumerate(chain.from_iterable(panels)):
            file = given.output_dir / "pictures" / f"{path.stem}-{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file, quality=92, subsampling=0)
            images.append({"source": f"pictures/{file.name}", "caption": caption, "wide": True})
        cards.append({"title": path.name, "images": images})
    page = write_page(
        given.output_dir / "index.html",
        "What is in a photograph, and where",
        cards,
        notes=[
            "One classifier, four explanations. PM-ViT gives the probability that a class is at a place, from dark "
            "blue (0) to yellow (1), for any class in the same forward pass; the line encloses 0.5. Patch logits are "
            "the same map before it becomes a probability. Grad-CAM needs a backward pass per class. Attention rollout "
            "does not depend on the class. These three have no scale: each is stretched from its lowest to its "
            "highest value.",
        ],
    )
    if given.picture is not None:
        given.picture.parent.mkdir(parents=True, exist_ok=True)
        figure(rows[-1], side=SIDE).save(given.picture, quality=90)
    print(f"{len(rows)} photographs explained: {page.resolve()}")
    print(f"to see them, open the page in a browser: {page.resolve().as_uri()}")
    return 0


def explained(
    path: Path, labels: Sequence[str], model: PMViTForImageClassification, processor: PMViTImageProcessor
) -> list[list[tuple[str, Image.Image]]]:
    """
    Rows of captions and pictures: the photograph, the overlay and attention rollout, then for each class the map of
    each method that depends on the class.

    Args:
        labels: the classes to explain; if the model has none of them, its two most probable ones are.
    """
    image = load_image(path)
    image.thumbnail((SIDE * 2, SIDE * 2))
    known = [label for label in labels if label in model.config.label2id]
    ranked: Any = model.explain(image, top_k=min(2, model.config.num_labels), image_processor=processor)
    explanation: Any = model.explain(image, known, image_processor=processor) if known else ranked
    pixel_values = processor.adapted(model.config.patch_size)(image, return_tensors="pt").pixel_values

    def shown(values: np.ndarray) -> Image.Image:  # over the photograph in grey
        return Image.blend(image.convert("L").convert("RGB"), heatmap(values), 0.7)

    def stretched(method: str, label_id: int) -> Image.Image:
        found = resized(EXPLAINERS[method](model, pixel_values, label_id), image.size[::-1])
        return shown(min_max(found)[0])

    best = f"{ranked['labels'][0]} {100 * float(ranked['scores'][0]):.1f} %"
    ids = explanation["label_ids"].tolist()
    rows = [[(f"most probable: {best}", image), ("PM-ViT", explanation.overlay(side=SIDE))]]
    rows[0].append((EXPLAINERS["rollout"].title, stretched("rollout", ids[0])))
    for label, label_id, found in zip(explanation["labels"], ids, explanation["heatmaps"], strict=True):
        rows.append([(f"{label}: PM-ViT", shown(found.numpy()))])
        for method in METHODS:
            rows[-1].append((f"{label}: {EXPLAINERS[method].title}", stretched(method, label_id)))
    return [[(caption, fitted(picture)) for caption, picture in row] for row in rows]


def fitted(picture: Image.Image) -> Image.Image:
    factor = SIDE / max(picture.size)
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    sys.exit(main())
