"""The model card, rendered from what the training left behind."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.constants import ENDPOINT
from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Of the evaluation: key, metric type and name of the model-index, and what it is.
FIGURES = [
    ("eval_accuracy", "accuracy", "accuracy", "images whose most probable class is theirs"),
    ("eval_patch_iou", "mean_iou", "patch IoU", "overlap of map (probability at least .5) and mask, in patches"),
    ("eval_energy_inside", "energy_inside", "energy inside", "share of the map's mass that lies in the mask"),
]
# Of the training arguments, as they stand in `training_args.json`.
SETTINGS = ["num_train_epochs", "per_device_train_batch_size", "learning_rate", "weight_decay", "lr_scheduler_type"]
SETTINGS += ["warmup_steps", "seed"]


@dataclass
class Details:
    """What a folder does not say of itself."""

    repo_id: str
    tag: str
    dataset: str  # Hub id, or a name
    licence: str = "apache-2.0"
    base_model: str | None = None


def render_model_card(model_folder: Path, details: Details, images: Sequence[str], has_onnx: bool) -> str:
    """
    Args:
        model_folder: that the training wrote: `config.json` and, where there, `eval_results.json` and
            `training_args.json`.
        images: names of the example images in the repository's folder `images/`; the first is used in the snippets.
        has_onnx: whether the repository has a folder `onnx/`.

    Returns:
        `README.md`, metadata included.
    """
    config = _read(model_folder / "config.json")
    results, arguments = (_read(model_folder / f"{name}.json") for name in ("eval_results", "training_args"))
    figures = [(kind, name, text, results[key]) for key, kind, name, text in FIGURES if key in results]
    is_id = "/" in details.dataset
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification",
        license=details.licence,
        base_model=details.base_model,
        datasets=[details.dataset] if is_id else None,
        tags=["pm-vit", "explainability", "vision", "custom_code"],
        model_name=details.repo_id.rpartition("/")[2],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                dataset_type=details.dataset if is_id else "imagefolder",
                dataset_name=details.dataset,
                dataset_split="validation",
                metric_type=kind,
                metric_name=name,
                metric_value=round(value, 4),
            )
            for kind, name, _, value in figures
        ]
        or None,
        widget=[
            {"src": f"{ENDPOINT}/{details.repo_id}/resolve/main/images/{name}", "example_title": Path(name).stem}
            for name in images
        ],
    )
    settings = [(key, arguments[key]) for key in SETTINGS if key in arguments]
    settings += [(key, config[key]) for key in ("mask_loss_type", "mask_loss_weight") if key in config]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template("model_card.md").render(
        metadata=data.to_yaml(),
        details=details,
        config=config,
        labels=list(config["id2label"].values()),
        figures=figures,
        settings=settings,
        images=images,
        has_onnx=has_onnx,
    )


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
