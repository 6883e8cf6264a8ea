"""A run of `pm-vit pseudo-masks`: from a dataset and a method to a folder to train on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import pipeline

from ..backbone_pm_vit import pair
from ..conversion.checkpoints import load_model, load_processor, loading_reports, not_found
from ..data.classes import class_names, match_classes
from ..data.columns import require_columns
from ..data.drawing import draw
from ..data.rows import Rows
from ..data.sources import open_rows
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from ..utils.fingerprint import fingerprint, place_settings
from ..utils.hub import asking_once, require_path
from ..utils.processes import processes
from .arguments import PseudoMaskArguments
from .contact_sheet import write_contact_sheet
from .method import Method, WithEmptyClasses
from .runner import Counts, count, write_masks
from .segmenter import Segmenter
from .self_training import SelfTraining
from .shards import ShardFolder
from .tokencut import TokenCut


def make_pseudo_masks(arguments: PseudoMaskArguments) -> tuple[Counts, Path] | None:
    """
    Write the shards that are missing below `arguments.output_dir`, by all processes.

    Returns:
        In the first process the counts and a page of examples; `None` in the others.

    Raises:
        InputError, NotFoundError: if the source, the model or a row cannot be used, or the folder holds other masks.
    """
    process = processes(arguments.device.split(":")[0])
    device = str(process.device) if process.num_processes > 1 else arguments.device
    rows: Rows = open_rows(
        arguments.data,
        arguments.split,
        arguments.generated,
        arguments.streaming,
        arguments.columns.label,
        class_names=arguments.names,
    )
    total = len(rows)
    rows = draw(rows, arguments.columns.label, arguments.max_samples, seed=0)
    columns = {"--image_column": arguments.image_column, "--box_column": arguments.box_column}
    require_columns(rows.name, rows.features, columns)
    names = class_names(rows.features, arguments.columns.label)
    method = METHODS[arguments.method](arguments, names, device)
    if arguments.empty_classes:
        method = WithEmptyClasses(method, names, arguments.empty_classes)
    settings = {
        **place_settings("source", arguments.data),
        "split": arguments.split,
        "method": arguments.method,
        "model": Path(arguments.model).name,
        "weights": fingerprint(method.model),
        "min_score": arguments.min_score,
        **method.settings,
    }
    if len(rows) < total:
        settings["drawn_from"] = total
    if arguments.class_names:
        settings["class_names"] = names
    with process.main_process_first():
        shards = ShardFolder(
            arguments.output_dir, arguments.split, len(rows), arguments.rows_per_shard, names, settings
        )
    write_masks(
        rows,
        method,
        shards,
        arguments.columns,
        process,
        arguments.min_score,
        arguments.batch_size,
        arguments.num_workers,
    )
    if not process.is_main_process:
        return None
    counts = count(shards)
    return counts, write_contact_sheet(shards, counts)


def _vit(arguments: PseudoMaskArguments, device: str) -> tuple[PMViTForImageClassification, PMViTImageProcessor]:
    """The model, and its processor at the size that was asked for."""
    model: Any = load_model(arguments.model, uses_classifier=arguments.method == "self")
    model = model.to(device).eval()
    height, width = pair(model.config.image_size)
    if arguments.image_size:
        height = width = arguments.image_size
    patch = model.config.patch_size
    if height % pair(patch)[0] or width % pair(patch)[1]:
        raise InputError(f"--image_size must be a multiple of the patch size {patch}, got {arguments.image_size}.")
    processor = load_processor(
        arguments.model, size={"height": height, "width": width}, do_center_crop=False, patch_size=patch
    )
    return model, processor


def _tokencut(arguments: PseudoMaskArguments, names: list[str], device: str) -> Method:
    model, processor = _vit(arguments, device)
    return TokenCut(model, processor, arguments.features, arguments.layer, arguments.tau, arguments.refine)


def _self_training(arguments: PseudoMaskArguments, names: list[str], device: str) -> Method:
    model, processor = _vit(arguments, device)
    known = [model.config.id2label[index] for index in range(model.config.num_labels)]
    return SelfTraining(
        model, processor, match_classes(names, known, arguments.data, of="the model").ids, arguments.threshold
    )


def _segmenter(arguments: PseudoMaskArguments, names: list[str], device: str) -> Method:
    task: Any = arguments.method
    require_path(arguments.model, "model folder")
    try:
        with loading_reports() as reports, asking_once(arguments.model):
            found = pipeline(task, model=arguments.model, device=device)
    except OSError as error:
        raise not_found(arguments.model, error) from error
    if any("MISSING" in report for report in reports):
        raise InputError(
            f"--model: {arguments.model} lacks weights of a {type(found.model).__name__}, which would be random: give "
            f"a model that was trained for {task}."
        )
    return Segmenter(found, names, arguments.segment_labels)


METHODS: dict[str, Callable[[PseudoMaskArguments, list[str], str], Method]] = {
    "tokencut": _tokencut,
    "self": _self_training,
    "image-segmentation": _segmenter,
    "mask-generation": _segmenter,
}
