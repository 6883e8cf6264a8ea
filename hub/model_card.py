"""The model card, rendered from the files that the training wrote and from what the publisher says."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.utils.tables import markdown_table

from .arguments import PublishArguments
from .endpoint import torch_requirements


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
        "mean over the classes of the average precision of ranking the images",
    ),
    CardMetric(("eval_auroc",), "roc_auc", "AUROC", "mean over the classes of the area under the ROC curve"),
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
    CardMetric(
        ("eval_empty_mask_accuracy",),
        "empty_mask_accuracy",
        "empty maps",
        "share of the images with an empty mask whose map is empty too",
    ),
)
# Settings that the card shows, as named in `training_args.json`.
SETTINGS = ["num_train_epochs", "per_device_train_batch_size", "learning_rate", "weight_decay", "lr_scheduler_type"]
SETTINGS += ["warmup_steps", "seed"]
_LISTED_CLASSES = 50  # more are folded
# Columns of the table of classes: heading, part and key in `training_summary.json`.
_COLUMNS = (
    ("training images", "train", "images"),
    ("with a mask", "train", "masks"),
    ("evaluation images", "evaluation", "images"),
    ("recognised (recall)", "evaluation", "recall"),
    ("right when named (precision)", "evaluation", "precision"),
    ("accuracy", "evaluation", "accuracy"),  # of older versions: the recall
    ("average precision", "evaluation", "average_precision"),
    ("AUROC", "evaluation", "auroc"),
    ("object found", "evaluation", "object_found"),
    ("outline (IoU)", "evaluation", "outline_iou"),
    ("patch IoU", "evaluation", "patch_iou"),  # of older versions
)
_MASKS = {"box": "bounding boxes", "polygon": "polygons"}


Answer = Sequence[Mapping[str, str | float]]  # classes as the `image-classification` pipeline gives them


def render_model_card(arguments: PublishArguments, examples: Mapping[str, Answer]) -> str:
    """
    Args:
        arguments: the folder `model` contains `config.json` and, if the training wrote them, `eval_results.json`,
            `training_args.json` and `training_summary.json`.
        examples: the example images, by their names in the folder `images/` of the repository, and the most probable
            classes of each, which the page of the model shows: it cannot run the code of the repository. The first is
            used in the snippets. Without any the card has no picture.

    Returns:
        `README.md` with its metadata.
    """
    config = _read(arguments.model / "config.json")
    training = _read(arguments.model / "training_args.json")
    summary = _read(arguments.model / "training_summary.json")
    values = read_values(_read(arguments.model / "eval_results.json"))
    base_model = arguments.base_model or summary.get("base_model")
    split = re.split(r"[\[{]", summary.get("eval_split", ""))[0] or None
    is_id = "/" in arguments.dataset
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification",
        license=arguments.license,
        license_name=arguments.license_name,
        license_link=arguments.license_link,
        base_model=base_model if base_model and "/" in base_model else None,
        datasets=[arguments.dataset] if is_id else None,
        tags=["pm-vit", "explainability", "vision", "custom_code"],
        model_name=arguments.repo_id.rpartition("/")[2],
        eval_results=[
            EvalResult(
                task_type="image-classification",
                dataset_type=arguments.dataset,
                dataset_name=arguments.dataset,
                dataset_split=split,
                metric_type=metric.type,
                metric_name=metric.name,
                metric_value=round(value, 4),
            )
            for metric, value in values
        ]
        or None,
        widget=[
            {"src": f"images/{name}", "example_title": f"Example {Path(name).stem}", "output": list(answer)}
            for name, answer in examples.items()
        ]
        or None,
    )
    if summary.get("epochs") is not None:
        training["num_train_epochs"] = summary["epochs"]  # fewer than were asked for, if steps were limited
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
        needed=torch_requirements((config.get("backbone_config") or {}).get("model_type") == "timm_wrapper"),
        labels=list(config["id2label"].values()),
        listed=_LISTED_CLASSES,
        values=values,
        settings=settings,
        images=list(examples),
        summary=summary,
        base_model=base_model,
        masks=_MASKS.get(summary.get("mask_encoding") or "", "pixel masks"),
        classes=_table_of_classes(summary.get("classes", {})),
    )


def read_values(results: dict[str, Any]) -> list[tuple[CardMetric, float]]:
    """The metrics of the card with their values in `eval_results.json`."""
    found = ((metric, next((key for key in metric.keys if key in results), None)) for metric in CARD_METRICS)
    return [(metric, float(results[key])) for metric, key in found if key is not None]


def render_eval_results(arguments: PublishArguments) -> str | None:
    """
    The first metric of the card as an entry of the leaderboard of `arguments.benchmark`: the content of a file in
    `.eval_results/` (https://huggingface.co/docs/hub/eval-results). None without a benchmark.

    Raises:
        InputError: if the training recorded no evaluation.
    """
    if arguments.benchmark is None:
        return None
    values = read_values(_read(arguments.model / "eval_results.json"))
    if not values:
        raise InputError(
            f"--benchmark: {arguments.model / 'eval_results.json'} has none of the metrics of the model card: evaluate "
            "the model in its training (--eval_strategy), or leave out --benchmark."
        )
    summary = _read(arguments.model / "training_summary.json")
    (metric, value), dataset = values[0], arguments.benchmark.partition(":")
    notes = metric.name
    if summary:
        notes += f", {summary['evaluation']['images']} images of the split {summary['eval_split']}"
    entry = EvalResultEntry(dataset_id=dataset[0], task_id=dataset[2], value=round(value, 4), notes=notes)
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)


def _table_of_classes(classes: dict[str, Any]) -> str:
    """Images, masks and results of each class; empty if none are known."""
    if not classes:
        return ""
    columns = [column for column in _COLUMNS if any(column[2] in of[column[1]] for of in classes.values())]
    rows = [[name, *(_shown(of[part].get(key)) for _, part, key in columns)] for name, of in classes.items()]
    return markdown_table([["class", *(heading for heading, _, _ in columns)], *rows]).rstrip()


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
