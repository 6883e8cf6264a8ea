"""A training run: from its arguments to a folder that the Auto classes load."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, set_seed

from ..data.augmentation.mixing import MixingSettings
from ..data.groups import require_separate_groups
from ..data.label_columns import label_kind, require_absent_images
from ..data.rows import Rows, RowsWithMasks
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..reporting.class_summary import summary_lines, summary_table
from ..reporting.confusion_matrix import write_confusion_matrix
from ..utils.errors import InputError
from ..utils.tables import markdown_table
from ..utils.threads import set_threads
from .attention import choose_attention
from .build_data import (
    build_eval_set,
    build_train_set,
    data_overview,
    mask_share,
    open_train_sources,
    training_classes,
)
from .build_model import build_model, default_mask_loss_weight
from .cached_features import FrozenLayers
from .checkpoints import checkpoints, last_complete, require_resumable, saved_arguments
from .data_arguments import DataArguments
from .divergence import DivergedError
from .imbalance import class_weights
from .min_area import default_min_area, described_min_area
from .model_arguments import ModelArguments
from .optimization import default_layer_decay
from .overlays import overlay_folder
from .row_cache import cache_rows
from .run_arguments import LAST, PMViTTrainingArguments
from .summary import write_summary
from .trainer import PMViTTrainer

_SHOWN_METRICS = (
    *("accuracy", "balanced_accuracy", "macro_f1", "mean_average_precision", "auroc"),
    *("patch_iou", "object_found", "energy_pointing_game", "empty_masks", "empty_mask_accuracy"),
    *("loss", "classification_loss", "mask_loss"),
)
# Options of the data that no training batch depends on: runs that differ in them share cached features.
_NOT_OF_BATCHES = ("class_weights", "eval_split", "eval_data", "max_eval_samples", "eval_mask_encoding", "cache_images")
_SHOWN_SKIPPED_ROWS = 20


def train(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: PMViTTrainingArguments,
    callbacks: Sequence[TrainerCallback] = (),
    model_class: type[PMViTForImageClassification] = PMViTForImageClassification,
) -> dict[str, float]:
    """
    Train, evaluate and save to `args.output_dir`: weights, processor and code in the folder, checkpoints below it.

    With `args.resume_from_checkpoint` set to "last" (or to the path of a checkpoint), an interrupted run continues from
    its newest complete checkpoint and ends with the same weights as without the interruption. If there is no complete
    checkpoint it starts from the beginning.

    Args:
        model_class: class of the model, for experiments with another loss.

    Returns:
        The metrics of the final evaluation (see [`explanation_metrics`]).

    Raises:
        InputError: if a split, column, class or shard does not exist or is not as expected, or if a
            new run would write into the folder of an earlier one.
        StoppedError: if the loss or the weights become NaN or infinite, or no row can be used; no model is saved.
        NotFoundError: if a dataset, model or checkpoint does not exist.
    """
    if args.push_to_hub and model_args.lora_rank:
        raise InputError("--push_to_hub would upload an adapter: `pm-vit publish` uploads the merged model.")
    set_seed(args.seed)
    data_seed = args.seed if args.data_seed is None else args.data_seed
    checkpoint = _checkpoint_to_resume(args)
    threads = _choose_threads(args, checkpoint)
    sources = open_train_sources(data_args, data_seed)
    names = training_classes(sources[0], data_args, model_args.model)
    several = label_kind(sources[0].features[data_args.label_column]) != "class"
    require_absent_images(sources[0], data_args.label_column)
    share = mask_share(sources, data_args)
    weight = model_args.mask_loss_weight
    if weight is None:
        weight = default_mask_loss_weight(share, data_args.is_weak)
    if args.ema_decay is None:
        args.ema_decay = 0.998 if data_args.weak_supervision == "self_training" else 0.0
    if args.layer_decay is None:
        args.layer_decay = default_layer_decay(bool(model_args.model), model_args.frozen_layers, model_args.lora_rank)
    model, processor = build_model(model_args, names, weight, several, model_class)
    choose_attention(model, model_args.image_size, args.device, args.bf16)
    train_set = build_train_set(sources, processor, data_args, data_seed, names)
    eval_set = build_eval_set(names, processor, data_args, data_seed, several)
    overview = data_overview(sources, names, data_args, eval_set.sources[0][0])
    require_separate_groups(sources, eval_set.sources[0][0], data_args.group_column)
    if data_args.is_weak:
        if model_args.min_area is None:
            model.config.min_area = default_min_area(train_set, len(names))
        overview.append(described_min_area(model.config.min_area))

    frozen = features = None
    if args.feature_epochs:
        frozen = FrozenLayers(model, model_args.frozen_layers, args.bf16)
        features = _feature_folder(args, data_args, sources, processor, frozen, data_seed)
    cached = [] if frozen else cache_rows(train_set, data_args.cache_images, args)
    trainer = PMViTTrainer(
        model=model,
        args=args,
        train_dataset=train_set,
        eval_dataset=eval_set,
        processing_class=processor,
        mixing=MixingSettings(**{field.name: getattr(data_args, field.name) for field in fields(MixingSettings)}),
        second_rate=data_args.mask_rate or 0.0,
        class_weights=class_weights(sources[0], names, data_args),
        frozen=frozen,
        features=features,
        self_training=data_args.weak_supervision == "self_training",
        callbacks=list(callbacks),
    )
    if args.process_index == 0:
        print(threads)
        count = sum(len(rows) for rows in sources if not isinstance(rows, RowsWithMasks))
        print(
            f"{count} training images; {100 * share:.1f} % of an epoch with a mask; {len(eval_set)} evaluation images"
        )
        print("\n".join([*overview, *cached]))
        if data_args.mask_column and data_args.mask_column not in eval_set.sources[0][0].features:
            print(f"{eval_set.name} has no column {data_args.mask_column!r}: maps are not evaluated during training.")
    trainer.train(resume_from_checkpoint=checkpoint)
    try:
        metrics = trainer.evaluate()
    except DivergedError:
        raise
    except BaseException:  # whatever is wrong with the evaluation, the model is trained
        _save(trainer)
        raise
    _save(trainer)
    trainer.save_metrics("eval", metrics)
    if args.process_index == 0:
        write_summary(model_args, data_args, args, sources, eval_set, metrics, trainer.summary)
        output = Path(args.output_dir)
        files = {"model": output, "logs": output / "runs", "overlays": overlay_folder(args)}
        if trainer.report.confusion is not None:
            files["confusion matrix"] = write_confusion_matrix(output, trainer.report.confusion, names)[1]
        print("\n".join(["", *summary_lines(trainer.summary), "", markdown_table(summary_table(trainer.summary))]))
        print(_table(metrics, files))
        print(f"next: pm-vit explain {output} photo.jpg")
    _report_skipped("training", list(trainer.meter.skipped), args.process_index)
    _report_skipped("evaluation", trainer.eval_skipped, args.process_index)
    return metrics


def _save(trainer: PMViTTrainer) -> None:
    """The final model and the log of its training."""
    with trainer.averaged():
        trainer.save_model()
    trainer.save_state()


def _checkpoint_to_resume(args: PMViTTrainingArguments) -> str | None:
    """The checkpoint from which the run resumes, if it does; says which one."""
    output, given = Path(args.output_dir), args.resume_from_checkpoint
    if given is None and checkpoints(output):
        raise InputError(
            f"{output} holds checkpoints of an earlier run: continue it with --resume_from_checkpoint, remove the "
            "folder, or choose another --output_dir."
        )
    if given is None:
        return None
    checkpoint = last_complete(output) if given == LAST else Path(given)
    if checkpoint is not None:
        require_resumable(checkpoint)
    if args.process_index == 0:
        none = f"there is no complete checkpoint in {output}: training starts from the beginning"
        print(none if checkpoint is None else f"training resumes from {checkpoint}")
    return None if checkpoint is None else str(checkpoint)


def _choose_threads(args: PMViTTrainingArguments, checkpoint: str | None) -> str:
    """
    The same number in all processes, and after an interruption: the last bits of a sum depend on it. Returns a line for
    the user.
    """
    before = saved_arguments(checkpoint).get("num_threads") if checkpoint else None
    continues = args.num_threads is None and before is not None
    workers = 0 if args.feature_epochs else (args.dataloader_num_workers or 0)  # features are computed in this process
    chosen = set_threads(before if continues else args.num_threads, workers)
    (args.num_threads,) = broadcast_object_list([torch.get_num_threads()])
    torch.set_num_threads(args.num_threads)
    return f"{chosen}, as before the interruption" if continues else chosen


def _feature_folder(
    args: PMViTTrainingArguments,
    data_args: DataArguments,
    sources: Sequence[Rows],
    processor: PMViTImageProcessor,
    frozen: FrozenLayers,
    seed: int,
) -> Path:
    """Folder of the cached features, named after everything that they depend on; Trainer uploads no `_*` to the Hub."""
    settings = {
        "data": {name: value for name, value in asdict(data_args).items() if name not in _NOT_OF_BATCHES},
        "rows": [(rows.name, len(rows)) for rows in sources],
        "processor": processor.to_dict(),
        "seed": seed,
        "batch": args.per_device_train_batch_size,
    }
    return Path(args.feature_folder or Path(args.output_dir) / "_features") / frozen.fingerprint(settings)


def _table(metrics: dict[str, float], folders: dict[str, Path]) -> str:
    """The values of an evaluation and the folders of the results."""
    values = {name: f"{metrics[f'eval_{name}']:.3f}" for name in _SHOWN_METRICS if f"eval_{name}" in metrics}
    shown = values | {name: str(folder) for name, folder in folders.items() if folder.exists()}
    return markdown_table([("result", "value"), *shown.items()])


def _report_skipped(what: str, messages: Sequence[str], process: int) -> None:
    if messages:
        print(f"skipped {len(messages)} bad samples in {what} (process {process}):")
        print("\n".join(f"  {message}" for message in messages[:_SHOWN_SKIPPED_ROWS]))
