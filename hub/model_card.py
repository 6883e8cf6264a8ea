"""The model card, rendered from the files that the training wrote."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.constants import ENDPOINT
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .arguments import PublishArguments


@dataclass(frozen=True)
class CardMetric:
    """A metric of the model card: its keys in `eval_results.json` (the first that exists), type, name and meaning."""

    keys: tuple[str, ...]
    type: str
    name: str
    meaning: str


CARD_METRICS = (
    CardMetric(("eval_accuracy",), "accuracy", "accuracy", "share of the images whose class is predicted"),
    CardMetric(
        ("eval_mean_average_precision",),
        "mean_average_precision",
        "mean average precision",
        "mean over the classes; each ranks the images by its score",
    ),
    CardMetric(("eval_auroc",), "roc_auc", "AUROC", "area under the ROC curve, mean over the classes"),
    CardMetric(
        ("eval_patch_iou",),
        "mean_iou",
        "patch IoU",
        "mean intersection over union of map (probability at least 0.5) and mask, in patches",
    ),
    CardMetric(
        ("eval_energy_pointing_game", "eval_energy_inside"),  # the second is the key of older versions
        "energy_pointing_game",
        "energy-based pointing game",
        "mean share of the mass of a map that lies in the mask",
    ),
)
# Settings that the card shows, as named in `training_args.json`.
SETTINGS = ["num_train_epochs", "per_device_train_batch_size", "learning_rate", "weight_decay", "lr_scheduler_type"]
SETTINGS += ["warmup_steps", "seed"]


def render_model_card(arguments: PublishArguments, images: Sequence[str]) -> str:
    """
    Args:
        arguments: the folder `model` contains `config.json` and, if the training wrote them, `eval_results.json` and
            `training_args.json`.
        images: names of the example images in the folder `images/` of the repository; the first is used in the
            snippets.

    Returns:
        `README.md` with its metadata.
    """
    config = _read(arguments.model / "config.json")
    training = _read(arguments.model / "training_args.json")
    values = read_values(_read(arguments.model / "eval_results.json"))
    is_id = "/" in arguments.dataset
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification",
        license=arguments.licence,
        base_model=arguments.base_model,
        datasets=[arguments.dataset] if is_id else None,
        tags=["pm-vit", "explainability", "vision", "custom_code"],
        model_name=arguments.repo_id.rpartition("/")[2],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                dataset_type=arguments.dataset if is_id else "imagefolder",
                dataset_name=arguments.dataset,
                dataset_split="validation",
                metric_type=metric.type,
                metric_name=metric.name,
                metric_value=round(value, 4),
            )
            for metric, value in values
        ]
        or None,
        widget=[
            {"src": f"{ENDPOINT}/{arguments.repo_id}/resolve/main/images/{name}", "example_title": Path(name).stem}
            for name in images
        ],
    )
    settings = [(key, training[key]) for key in SETTINGS if key in training]
    settings += [(key, config[key]) for key in ("mask_loss_type", "mask_loss_weight") if key in config]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template("model_card.md").render(
        metadata=data.to_yaml(),
        arguments=arguments,
        config=config,
        labels=list(config["id2label"].values()),
        values=values,
        settings=settings,
        images=images,
    )


def read_values(results: dict[str, Any]) -> list[tuple[CardMetric, float]]:
    """The metrics of the card with their values in `eval_results.json`."""
    found = ((metric, next((key for key in metric.keys if key in results), None)) for metric in CARD_METRICS)
    return [(metric, float(results[key])) for metric, key in found if key is not None]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
