"""Judge a model trained by `configs/demo.yaml` on images it has not seen, and show them beside attention rollout.

python scripts/demo.py runs/demo
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.evaluation.evaluator import CLASSIFIER, EvaluationPlan, Evaluator
from modeling_pm_vit.evaluation.results import collect_results
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.heatmaps import min_max, resized
from modeling_pm_vit.utils.html import write_page
from modeling_pm_vit.visualization import figure, heatmap_image, overlay

GOALS = {"accuracy": 0.9, "mask IoU": 0.6}
COLUMNS = {"mask IoU": ("segmentation", "mask_iou"), "energy-based pointing game": ("pointing", "energy_pointing_game")}
COLUMNS["on-target mass"] = ("on_target_mass", "on_target_mass")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that the training wrote")
    parser.add_argument("--images", type=int, default=1000, help="unseen images to judge on (default: %(default)s)")
    args = parser.parse_args()

    model = PMViTForImageClassification.from_pretrained(args.model).eval()
    processor = PMViTImageProcessor.from_pretrained(args.model)
    unseen = synthetic_dataset("test", args.images)
    folder = args.model / "report"
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
        "PM-ViT on images it has not seen",
        [{"title": "Each class on its own, and rollout", "images": [wide("explanations.png", "")]}],
        notes=[
            f"Accuracy on {len(unseen)} unseen images: {accuracy:.1%}. The maps are probabilities, all on the same "
            "scale. Attention rollout has one map for all classes, here stretched to its own range.",
            "On-target mass: in images that show several classes, the share of a class's map on its own objects, of "
            "its mass on any object.",
        ],
        table=table,
    )
    (folder / "figures.json").write_text(json.dumps({k: round(float(v), 4) for k, v in reached.items()}, indent=1))

    print(f"\naccuracy on {len(unseen)} unseen images: {accuracy:.3f}\n")
    for row in table:
        print(f"{row[0]:>18}  " + "  ".join(f"{cell:>18}" for cell in row[1:]))
    print(f"\nfigures and page: {page.resolve()}")
    missed = [f"{name} {reached[name]:.3f} < {goal}" for name, goal in GOALS.items() if reached[name] < goal]
    if missed:
        print("goals missed: " + ", ".join(missed), file=sys.stderr)
    return 1 if missed else 0


def wide(source: str, caption: str) -> dict:
    return {"source": source, "caption": caption, "wide": True}


def picture(model: PMViTForImageClassification, processor: PMViTImageProcessor, rows: list[dict]) -> Image.Image:
    """A row of panels an image: itself, the classes in it laid over it, rollout, the map of each class."""
    panels = []
    for row in rows:
        image = row["image"].convert("RGB")
        classes = [row["label"]] + [c - 1 for c in np.unique(row["mask"]) if c not in (0, row["label"] + 1)]
        explained = model.explain(image, classes, processor)
        heatmaps = explained["heatmaps"].numpy()
        pixel_values = processor(image, return_tensors="pt")["pixel_values"]
        rollout = EXPLAINERS["rollout"](model, pixel_values, torch.zeros(1, dtype=torch.long))
        best = explained["scores"].argmax()
        cells = [(f"says {explained['labels'][best]} {explained['scores'][best]:.0%}", image)]
        large = image.resize((224, 224), Image.Resampling.NEAREST)
        cells.append(("all classes", overlay(large, model.explain(large, classes, processor)["heatmaps"].numpy())))
        cells.append(("attention rollout", heatmap_image(min_max(resized(rollout, image.size[::-1]))[0])))
        cells += [(CLASSES[c], heatmap_image(heatmaps[i])) for i, c in enumerate(classes)]
        panels.append(cells)
    return figure(panels, side=168)


if __name__ == "__main__":
    sys.exit(main())
