"""A whole evaluation: from the names of a checkpoint and a dataset to the report."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..backbone_pm_vit import pair
from ..conversion.checkpoints import load_model, load_processor
from ..data.class_views import rows_of_classes, with_class_names, with_empty_classes, without_classes
from ..data.classes import ClassMap, are_numbers, class_names, match_classes
from ..data.columns import Columns, require_columns
from ..data.layouts import load_layout
from ..data.masks import MaskFormat
from ..data.overview import mask_overview
from ..data.rows import DatasetRows, Rows
from ..data.sources import open_rows
from ..explainers import EXPLAINERS, Explainer
from ..explainers.vit import NO_ATTENTIONS, gives_attentions
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from ..utils.fingerprint import fingerprint, place_settings
from ..utils.processes import processes
from .arguments import EvaluationArguments
from .classifier import Classifier
from .data_arguments import DataOptions
from .evaluator import EvaluationPlan, Evaluator
from .report import write_report
from .results import Results

logger = logging.getLogger(__name__)


def evaluate(arguments: EvaluationArguments) -> tuple[Results, Path]:
    """
    Make the records that are missing below `arguments.folder`, by all processes, and write the report, by the first.

    Returns:
        The results, empty in all processes but the first, and the report's folder.
    """
    evaluator = prepare(arguments)
    held_out = held_out_of(arguments, evaluator)
    run(evaluator, arguments)
    if held_out is not None:
        run(held_out, arguments)
    results: Results = {}
    if evaluator.process.is_main_process:
        id2label = evaluator.classifier.model.config.id2label
        size = evaluator.processor.size
        shown = {**evaluator.settings, "input": f"{size['height']} x {size['width']} px", "seed": arguments.seed}
        if held_out is not None:
            shown |= {name: held_out.settings[name] for name in ("held_out_data", "held_out_split")}
        title = f"Evaluation of explanations: {Path(arguments.model).name} on {Path(arguments.data).name}"
        names = [id2label[index] for index in range(len(id2label))]
        results = write_report(evaluator, arguments.folder, names, title, shown, held_out, arguments.specificity)
    evaluator.process.wait_for_everyone()
    return results, arguments.folder


def run(evaluator: Evaluator, arguments: EvaluationArguments) -> None:
    """Make the records that are missing, in the requested precision."""
    with torch.autocast(evaluator.classifier.device.type, torch.bfloat16, enabled=arguments.precision == "bf16"):
        evaluator.run()


def prepare(arguments: EvaluationArguments) -> Evaluator:
    """The evaluator of these arguments, with the records that exist already; nothing is computed yet."""
    process = processes(arguments.device.split(":")[0])
    device = process.device if process.num_processes > 1 else arguments.device
    classifier, processor = open_classifier(
        arguments.model, device, arguments.model_class, "evaluate", arguments.image_size
    )
    model = classifier.model
    rows, masks, columns = open_data(arguments, arguments.max_samples)
    class_map = class_map_of(rows, columns.label, model.config.id2label, arguments.class_order)
    for note in mask_overview(rows, columns, masks, class_map):
        if process.is_main_process:
            print(note)
    settings = {
        "model": Path(arguments.model).name,
        "weights": fingerprint(model),
        **place_settings("data", arguments.data),
        "layout": arguments.layout,
        "split": arguments.split,
        "group_column": arguments.group_column,
        "rows": len(rows),
        "precision": arguments.precision,
    }
    plan = EvaluationPlan(
        methods_of(arguments, model, process.is_main_process),
        arguments.metrics,
        arguments.max_samples,
        arguments.limits,
        arguments.metric_options,
        arguments.batch_size,
        arguments.seed,
    )
    folder = arguments.folder / "records"
    return Evaluator(classifier, processor, rows, masks, columns, plan, folder, settings, class_map)


def methods_of(arguments: EvaluationArguments, model: Any, says: bool = True) -> dict[str, Explainer]:
    """
    The explainers that were asked for; of all of them those that the backbone allows, and a line that names the others.

    Raises:
        InputError: if one was asked for by name that needs attentions, and the backbone gives none.
    """
    methods = arguments.methods
    needing = [name for name, method in methods.items() if method.needs_attentions]
    if not needing or gives_attentions(model):
        return methods
    if methods.keys() != EXPLAINERS.keys():
        raise InputError(NO_ATTENTIONS)
    if says:
        print(f"left out: {', '.join(needing)}. They need attentions, which a timm backbone does not give.")
    return {name: method for name, method in methods.items() if name not in needing}


def open_classifier(
    name: str,
    device: str | torch.device,
    model_class: type[PMViTForImageClassification] = PMViTForImageClassification,
    command: str = "evaluate",
    image_size: int | None = None,
) -> tuple[Classifier, PMViTImageProcessor]:
    """
    The classifier of a folder or Hub id, and its image processor, which resizes whole images to the model's input size.

    Args:
        command: that needs it, for the message.
        image_size: height and width of the input in pixels, if it is not the model's.

    Raises:
        NotFoundError, InputError: as [`load_model`], and if the model does not choose one class per image, or the patch
            size does not divide the image size.
    """
    model: Any = load_model(name, model_class)
    if model.config.problem_type == "multi_label_classification" or model.config.num_labels == 1:
        raise InputError(
            f"{name} finds several classes in an image, or tells whether a single one is there; pm-vit {command} needs "
            "a model that chooses one class per image. pm-vit train evaluates the others."
        )
    patch = pair(model.config.patch_size)
    size = pair(image_size or model.config.image_size)
    if any(side % step for side, step in zip(size, patch, strict=True)):
        raise InputError(
            f"--image_size must be a multiple of the patch size {model.config.patch_size}, got {image_size}."
        )
    processor = load_processor(
        name,
        size={"height": size[0], "width": size[1]},
        do_center_crop=False,
        patch_size=model.config.patch_size,
    )
    temperature = model.config.class_temperature
    return Classifier(model.to(device), processor.image_mean, processor.image_std, temperature=temperature), processor


def held_out_of(arguments: EvaluationArguments, evaluator: Evaluator) -> Evaluator | None:
    """The same explainers on the split that chooses thresholds, if there is one."""
    if arguments.held_out_split is None:
        return None
    there = replace(arguments, data=arguments.held_out_data or arguments.data, split=arguments.held_out_split)
    rows, masks, columns = open_data(there, there.max_samples)
    id2label = evaluator.classifier.model.config.id2label
    chosen = [name for name, metric in evaluator.plan.recorded.items() if metric.held_out]
    own = {**place_settings("held_out_data", there.data), "held_out_split": there.split, "rows": len(rows)}
    return Evaluator(
        evaluator.classifier,
        evaluator.processor,
        rows,
        masks,
        columns,
        replace(evaluator.plan, metrics=chosen, max_samples=None, limits={}),
        arguments.folder / "held-out",
        evaluator.settings | own,
        class_map_of(rows, columns.label, id2label, there.class_order),
    )


def class_map_of(rows: Rows, column: str, id2label: Mapping[int, str], class_order: Path | None = None) -> ClassMap:
    """
    The classes of a dataset and the model's index of each.

    Args:
        rows: of the dataset.
        column: of the labels, a `ClassLabel`.
        id2label: of the model.
        class_order: a text file whose line i begins with the dataset's name of the model's class i (as in
            `LOC_synset_mapping.txt`); needed where the model has other names for its classes.

    Raises:
        InputError: if the model lacks a class of the dataset, or a row has no class.
    """
    names = class_names(rows.features, column)
    for index, label in enumerate(rows.values(column)):
        if label is None or label < 0:
            raise InputError(f"{rows.place(index)} has no class (its label is {label}): every image needs a class.")
    known = [id2label[index] for index in range(len(id2label))]
    if class_order is not None:
        lines = class_order.read_text(encoding="utf-8").splitlines()
        known = [line.split()[0] for line in lines if line.strip()]
        if len(known) != len(id2label):
            raise InputError(
                f"{class_order} (--class_order) has {len(known)} lines; the model has {len(id2label)} classes."
            )
    elif not set(names) & set(known) and (len(names) == len(known) or are_numbers(names)):
        logger.warning(
            "The classes of %s have other names than those of the model; they are taken to be the same in their order: "
            "%r is the model's %r. If they are not, name them with --class_names, or in the model's order with "
            "--class_order.",
            rows.name,
            names[0],
            known[0],
        )
        known = [*names, *known[len(names) :]]
    remedy = " Name the dataset's classes in the model's order with --class_order."
    return match_classes(names, known, rows.name, remedy, "the model")


def open_data(arguments: DataOptions, max_samples: int | None = None) -> tuple[Rows, MaskFormat, Columns]:
    """
    The dataset without the classes that are left out, how its masks are read, and its columns.

    Args:
        max_samples: how many built-in images there are.
    """
    rows, masks, columns = _open_all(arguments, max_samples)
    rows = without_classes(rows, columns, arguments.leave_out_classes, masks.encoding)
    return with_empty_classes(rows, columns, arguments.empty_classes), masks, columns


def open_left_out(arguments: DataOptions) -> Rows:
    """The images of the classes that are left out."""
    rows, _, columns = _open_all(arguments, None)
    return rows_of_classes(rows, columns.label, arguments.leave_out_classes)


def _open_all(arguments: DataOptions, max_samples: int | None) -> tuple[Rows, MaskFormat, Columns]:
    if arguments.layout is not None:
        dataset, encoding, columns = load_layout(arguments.layout, Path(arguments.data), arguments.split)
        rows: Rows = DatasetRows(dataset, f"{arguments.data} ({arguments.split})")
        rows = with_class_names(rows, columns.label, arguments.names)
        return rows, arguments.mask_format(encoding), columns
    columns = arguments.columns
    encoding = arguments.mask_encoding or ("class_id" if arguments.data == "synthetic" else "binary")
    rows = open_rows(
        arguments.data,
        arguments.split,
        max_samples if arguments.data == "synthetic" else None,
        label_column=arguments.label_column,
        class_names=arguments.names,
        group_column=arguments.group_column,
    )
    wanted = {"--image_column": columns.image, "--label_column": columns.label, "--box_column": columns.boxes}
    if not arguments.empty_classes:  # which need no masks
        wanted["--mask_column"] = columns.mask
    require_columns(rows.name, rows.features, wanted)
    return rows, arguments.mask_format(encoding), columns
