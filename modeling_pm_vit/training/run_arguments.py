"""The options of a training run that say how it goes: those of `TrainingArguments`, and more."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from transformers import TrainingArguments

from ..metrics.class_report import SPECIFICITY
from ..metrics.former_names import RENAMED_VALUES
from ..utils.errors import InputError
from ..utils.threads import threads_option, usable_cores
from .fixed_options import FIXED_OPTIONS, refuse_loader_config, refuse_other_values

_MOST_WORKERS = 16
LAST = "last"  # value of --resume_from_checkpoint: the newest complete checkpoint


@dataclass
class PMViTTrainingArguments(TrainingArguments):
    _argument_group_name: ClassVar[str] = "training"
    _inherited_group_name: ClassVar[str] = "options of transformers.TrainingArguments"
    _unlisted: ClassVar[Collection[str]] = FIXED_OPTIONS

    output_dir: str = field(default="runs/train", metadata={"help": "Folder for the checkpoints and the final model."})
    # Of `FIXED_OPTIONS` those that have another default in `TrainingArguments`.
    do_train: bool = field(default=True)
    do_eval: bool = field(default=True)
    remove_unused_columns: bool = field(default=False)
    hub_strategy: str = field(default="end")
    report_to: list[str] | str | None = field(
        default="tensorboard", metadata={"help": "Where to log: tensorboard, wandb, none, ..."}
    )
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={
            "help": "Resume from a checkpoint: give its folder, or no value for the newest complete one in "
            "--output_dir. The final weights are the same as without the interruption."
        },
    )
    layer_decay: float | None = field(
        default=None,
        metadata={
            "help": "Factor by which the learning rate falls with each layer towards the input. Default: 0.75 for full "
            "fine-tuning of --model, which would otherwise lose its pretrained features; else 1."
        },
    )
    ema_decay: float | None = field(
        default=None,
        metadata={
            "help": "Decay per step of the exponential moving average of the weights, which is evaluated and saved; 0 "
            "disables it. Default: 0; with --weak_supervision self_training 0.998."
        },
    )
    teacher_start: float = field(
        default=0.25,
        metadata={
            "help": "With --weak_supervision self_training: part of the training, in [0, 1], after which the average "
            "of the weights teaches.",
            "at_least": 0,
            "at_most": 1,
        },
    )
    feature_epochs: int = field(
        default=0,
        metadata={
            "help": "With --frozen_layers: cache the features of the frozen layers for the first N epochs and reuse "
            "them in later epochs. Faster, with N augmented variants of each image. 0 disables the cache."
        },
    )
    feature_folder: str | None = field(
        default=None,
        metadata={
            "help": "Folder of the cached features; several runs can share it. Default: a folder in --output_dir."
        },
    )
    augment_on: Literal["auto", "cpu", "device"] = field(
        default="auto",
        metadata={
            "help": "Where training images are augmented: by the loading processes, or in batches on the device of the "
            "model. auto: on the device if it is an accelerator."
        },
    )
    folds: int = field(
        default=0,
        metadata={
            "help": "Cross-validation: divide --train_split into N parts, train N times on all but one of them, "
            "evaluate on that one, and report mean and spread. --eval_split is not used. 0: one training.",
            "at_least": 0,
        },
    )
    specificity: float = field(
        default=SPECIFICITY,
        metadata={
            "help": "Specificity at which the recall (sensitivity) of each class is reported: the share of the images "
            "without the class that are not taken for it.",
            "at_least": 0,
            "at_most": 1,
        },
    )
    overlays: int = field(
        default=8,
        metadata={"help": "Number of evaluation images whose PM-ViT maps are drawn after each evaluation; 0 for none."},
    )
    push_overlays: bool = field(
        default=False,
        metadata={
            "help": "With --push_to_hub, upload these pictures too. Default: false, they stay in the folder of the run."
        },
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, steps or epoch."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Number of checkpoints to keep."})
    # The type is that of a flag, which needs no value. It is a bool once it is made.
    bf16: bool = field(  # type: ignore[assignment]
        default=None,
        metadata={"help": "Compute in bfloat16. Default: true on a GPU that can, without --fp16."},
    )
    tf32: bool | None = field(
        default=None, metadata={"help": "Use TF32 for what remains in float32. Default: true on a GPU that can."}
    )
    dataloader_num_workers: int | None = field(  # type: ignore[assignment] # an int once it is made
        default=None,
        metadata={"help": "Processes that load data. Default: on a GPU one per core, at most 16; on a CPU none."},
    )
    dataloader_persistent_workers: bool = field(
        default=True, metadata={"help": "Keep the loading processes between epochs."}
    )
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available,
        metadata={"help": "Pin memory for faster copies to the GPU. Default: true if there is a GPU."},
    )
    num_threads: int | None = threads_option()
    logging_nan_inf_filter: bool = field(  # type: ignore[assignment] # a bool once it is made
        default=None,
        metadata={
            "help": "Leave NaN and infinite losses out of the logged loss, for which each step waits for the device. "
            "Default: true with --fp16, where they are normal; otherwise such a loss stops the run."
        },
    )
    logging_steps: float = field(default=50, metadata={"help": "Log every N steps."})
    learning_rate: float = field(
        default=1e-3,
        metadata={
            "help": "Peak learning rate. Default: 0.001, for training from scratch; use 0.0001 to 0.0005 for "
            "fine-tuning."
        },
    )
    weight_decay: float = field(default=0.05, metadata={"help": "Weight decay."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up steps: a number, or a fraction of all steps."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})

    def __post_init__(self) -> None:
        refuse_other_values(self)
        truth = str(self.resume_from_checkpoint).lower()  # as examples of transformers and YAML files have it
        self.resume_from_checkpoint = {"true": LAST, "false": None}.get(truth, self.resume_from_checkpoint)
        for former, name in RENAMED_VALUES.items():  # which configs may still have
            if self.metric_for_best_model in (former, f"eval_{former}"):
                self.metric_for_best_model = self.metric_for_best_model.replace(former, name)
        if self.num_train_epochs <= 0 and self.max_steps <= 0:
            raise InputError(f"--num_train_epochs must be above 0, got {self.num_train_epochs:g}.")
        on_gpu = torch.cuda.is_available() and not self.use_cpu
        for name, value in device_defaults(on_gpu, bool(self.fp16)).items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        if self.logging_nan_inf_filter is None:
            self.logging_nan_inf_filter = bool(self.fp16)
        # Without an accelerator Trainer takes bf16 for a mistake unless the CPU is asked for.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        super().__post_init__()
        refuse_loader_config(self.accelerator_config)


def device_defaults(on_gpu: bool, fp16: bool = False) -> dict[str, Any]:
    """The defaults of `bf16`, `tf32` and `dataloader_num_workers`, which depend on the machine."""
    if not on_gpu:
        return {"bf16": False, "tf32": None, "dataloader_num_workers": 0}
    cores = usable_cores() / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return {
        "bf16": not fp16 and torch.cuda.is_bf16_supported(),
        "tf32": torch.cuda.get_device_capability() >= (8, 0) or None,
        "dataloader_num_workers": max(1, min(_MOST_WORKERS, int(cores) - 1)),
    }
