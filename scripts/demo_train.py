"""Evaluate a model trained by `configs/demo.yaml` on unseen images, and show its maps beside attention rollout.

    python scripts/demo_train.py runs/demo

Exit status: 0 if the goals are reached, 1 if not, 2 for a wrong call.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.evaluation.evaluator import CLASSIFIER, EvaluationPlan, Evaluator
from modeling_pm_vit.evaluation.results import collect_results
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.heatmaps import min_max, resized
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import PMViTError
from modeling_pm_vit.utils.files import write_json
from modeling_pm_vit.utils.html import write_page
from modeling_pm_vit.utils.tables import markdown_table
from modeling_pm_vit.visualization import figure, heatmap_image, overlay

GOALS = {"accuracy": 0.9, "mask IoU": 0.6}
COLUMNS = {"mask IoU": ("segmentation", "mask_iou"), "energy-based pointing game": ("pointing", "energy_pointing_game")}
COLUMNS["on-target mass"] = ("on_target_mass", "on_target_mass")


@dataclass
class DemoArguments:
    model: Path = option(help="Folder that the training wrote.", positional=True)
    max_samples: int = option(1000, help="Number of unseen images.", old_names=["--images"])


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        given = ArgumentParser(DemoArguments, command="demo_train.py", description=__doc__).parse(
            arguments or sys.argv[1:]
        )
        model = load_model(str(given.model)).eval()
        processor = load_processor(str(given.model))
    except PMViTError as error:
        print(f"demo_train.py: {error}", file=sys.stderr)
        return 2
    unseen = synthetic_dataset("test", given.max_samples)
    folder = given.model / "report"
    shutil.rmtree(folder, ignore_errors=True)
    plan = EvaluationPlan(
        {name: EXPLAINERS[name] for name in ("pm-vit", "rollout")},
        metrics=list(dict.fromkeys(metric for metric, _ in COLUMNS.values())),
        batch_size=50,
    )
    classifier = Classifier(model, processor.image_mean, processor.image_std)
    evaluator = Evaluator(classifier, processor, unseen, "class_id", Columns(), plan, folder / "records")
    evaluator.run()
    results = collect_results(evaluator)

    accuracy = results["classification"][CLASSIFIER]["top1"].value
    table = [["explanation", *COLUMNS]]
    for name, explainer in plan.explainers.items():
        values = (results[metric][name][key].value for metric, key in COLUMNS.values())
        table.append([explainer.title, *(f"{value:.3f}" for value in values)])
    reached = {"accuracy": accuracy, "mask IoU": results["segmentation"]["pm-vit"]["mask_iou"].value}

    several = [row for row in unseen.select(range(min(200, len(unseen)))) if len(np.unique(row["mask"])) > 2]
    picture(model, processor, several[:6]).save(folder / "explanations.png")
    page = write_page(
        folder / "index.html",
        "PM-ViT on unseen images",
        [{"title": "Map of each class, and attention rollout", "images": [wide("explanations.png", "")]}],
        notes=[
            f"Accuracy on {len(unseen)} unseen images: {100 * accuracy:.1f} %. All maps of probabilities have the same "
            "scale. Attention rollout has one map for all classes, shown here from its lowest to its highest value.",
            "On-target mass: for images of several classes, the mass of a class's map on objects of this class, "
            "divided by its mass on all objects.",
        ],
        table=table,
    )
    write_json(folder / "values.json", {name: round(float(value), 4) for name, value in reached.items()})

    print(f"\naccuracy on {len(unseen)} unseen images: {accuracy:.3f}\n")
    print(markdown_table(table))
    print(f"page: {page.resolve()}")
    missed = [f"{name} {reached[name]:.3f} < {goal}" for name, goal in GOALS.items() if reached[name] < goal]
    if missed:
        print("goals missed: " + ", ".join(missed), file=sys.stderr)
    return 1 if missed else 0


def wide(source: str, caption: str) -> dict:
    return {"source": source, "caption": caption, "wide": True}


def picture(model: PMViTForImageClassification, processor: PMViTImageProcessor, rows: list[dict]) -> Image.Image:
    """One row per image: the image, the overlay of its classes, attention rollout, the map of each class."""
    panels = []
    for row in rows:
        image = row["image"].convert("RGB")
        classes = [row["label"]] + [c - 1 for c in np.unique(row["mask"]) if c not in (0, row["label"] + 1)]
        explained = model.explain(image, classes, image_processor=processor)
        heatmaps = explained["heatmaps"].numpy()
        pixel_values = processor(image, return_tensors="pt")["pixel_values"]
        rollout = EXPLAINERS["rollout"](model, pixel_values, torch.zeros(1, dtype=torch.long))
        best = explained["scores"].argmax()
        cells = [(f"predicted: {explained['labels'][best]} {100 * explained['scores'][best]:.0f} %", image)]
        large = image.resize((224, 224), Image.Resampling.NEAREST)
        found = model.explain(large, classes, image_processor=processor)
        cells.append(("all classes", overlay(large, found["heatmaps"].numpy())))
        cells.append(("attention rollout", heatmap_image(min_max(resized(rollout, image.size[::-1]))[0])))
        cells += [(CLASSES[c], heatmap_image(heatmaps[i])) for i, c in enumerate(classes)]
        panels.append(cells)
    return figure(panels, side=168)


if __name__ == "__main__":
    sys.exit(main())
