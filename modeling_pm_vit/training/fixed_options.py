"""Options of `transformers.TrainingArguments` that a training of PM-ViT would ignore: another value is refused."""

from typing import Any

from ..utils.errors import InputError

_LANGUAGE = "it is for language models."
_ROWS = "every row comes once per epoch, in an order that is a function of the seed."
_METRICS = "the metrics of a run need the maps of all images."

# Name: the value that it has, and why it has no other.
FIXED_OPTIONS: dict[str, tuple[Any, str]] = {
    "do_train": (True, "this command always trains; `pm-vit evaluate` evaluates a model without training."),
    "do_eval": (True, "the final model is always evaluated; --eval_strategy no leaves out all other evaluations."),
    "do_predict": (False, "`pm-vit explain` computes predictions of a trained model."),
    "remove_unused_columns": (
        False,
        "the inputs of the model are computed from the columns that options name.",
    ),
    "label_names": (None, "name the column with the classes with --label_column."),
    "average_tokens_across_devices": (True, "the loss is the mean over the images of all processes."),
    "prediction_loss_only": (False, _METRICS),
    "eval_do_concat_batches": (True, _METRICS),
    "eval_use_gather_object": (False, _METRICS),
    "include_for_metrics": ([], _METRICS),
    "batch_eval_metrics": (False, _METRICS),
    "bf16_full_eval": (False, "an evaluation has the precision of the training: use --bf16."),
    "fp16_full_eval": (False, "an evaluation has the precision of the training: use --fp16."),
    "dataloader_drop_last": (False, _ROWS),
    "dataloader_in_order": (True, _ROWS),
    "train_sampling_strategy": ("random", _ROWS),
    "length_column_name": ("length", _ROWS),
    "use_liger_kernel": (False, _LANGUAGE),
    "use_cache": (False, _LANGUAGE),
    "neftune_noise_alpha": (None, _LANGUAGE),
    "enable_jit_checkpoint": (False, "a run resumes from the checkpoints of --save_strategy and --save_steps."),
    "hub_strategy": ("end", "--push_to_hub uploads the final model; `pm-vit publish` checks it first."),
}
# Of Accelerate, for loaders that it prepares; those of PM-ViT are not prepared.
_LOADER_CONFIG = {"split_batches": False, "dispatch_batches": None, "even_batches": True, "use_seedable_sampler": True}


def refuse_other_values(arguments: Any) -> None:
    """
    To be called before `TrainingArguments` derives values from others.

    Raises:
        InputError: if one of `FIXED_OPTIONS` has another value.
    """
    for name, (value, reason) in FIXED_OPTIONS.items():
        given = getattr(arguments, name)
        if given != value:
            raise InputError(f"--{name} {given} has no effect here: {reason} Leave the option out.")


def refuse_loader_config(accelerator_config: Any) -> None:
    """
    Raises:
        InputError: if it has settings for loaders that Accelerate prepares.
    """
    for name, value in _LOADER_CONFIG.items():
        if getattr(accelerator_config, name) != value:
            raise InputError(f"--accelerator_config: {name} has no effect here: {_ROWS} Leave it out.")
