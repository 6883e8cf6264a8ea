"""The arguments of a training run, read from the command line and from a YAML file."""

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import yaml
from transformers import TrainingArguments

from ..data.arguments import MaskOptions
from ..data.columns import Columns
from ..data.dataset import OnBadSample
from ..data.masks import MaskEncoding, MaskFormat
from ..utils.arguments import ArgumentParser, plain_name
from ..utils.errors import InputError, NotFoundError
from ..utils.threads import threads_option, usable_cores
from .fixed_options import FIXED_OPTIONS, refuse_loader_config, refuse_other_values

_MOST_WORKERS = 16
LAST = "last"  # value of --resume_from_checkpoint: the newest complete checkpoint
RESUME = ("--resume_from_checkpoint", "--resume-from-checkpoint")


@dataclass
class ModelArguments:
    _argument_group_name: ClassVar[str] = "model"

    model: str | None = field(
        default=None,
        metadata={"help": "PM-ViT or ViT checkpoint to fine-tune: a folder or a Hub id. Default: train from scratch."},
    )
    image_size: int = field(default=224, metadata={"help": "Height and width of the model's input in pixels."})
    patch_size: int = field(default=16, metadata={"help": "From scratch only: height and width of a patch in pixels."})
    hidden_size: int = field(default=384, metadata={"help": "From scratch only: size of the token embeddings."})
    num_hidden_layers: int = field(default=12, metadata={"help": "From scratch only: number of Transformer layers."})
    num_attention_heads: int = field(default=6, metadata={"help": "From scratch only: number of attention heads."})
    mask_loss_weight: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the mask loss (lambda). Default: the larger of 1 and 0.25 / (share of the training "
            "images with a mask), so that the loss of rare masks still counts."
        },
    )
    mask_loss_type: Literal["joint", "softmax", "sigmoid"] = field(
        default="joint",
        metadata={
            "help": "Loss of a patch: softmax over the classes and background, sigmoid for each class, or joint, their "
            "sum. Default: joint, whose maps are the most class-dependent."
        },
    )
    frozen_layers: int = field(
        default=0,
        metadata={"help": "Partial fine-tuning: freeze the embeddings and the first N layers. 0: full fine-tuning."},
    )
    lora_rank: int = field(
        default=0,
        metadata={
            "help": "With --model: train low-rank adapters (LoRA) of this rank in the layers that are not frozen, and "
            "the classifier, and save these only. A common value is 8. 0: no adapters.",
            "at_least": 0,
        },
    )


@dataclass
class DataArguments(MaskOptions):
    _argument_group_name: ClassVar[str] = "data"

    data: str = field(
        default="synthetic",
        metadata={
            "help": "Dataset: 'synthetic' (built in), a folder (imagefolder, or parquet or tar files named after their "
            "splits), or a Hub id."
        },
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "Stream parquet files, local or remote, without a local copy. Tar files are always streamed."
        },
    )
    train_split: str = field(
        default="train", metadata={"help": "Split to train on; train[!0/20] leaves out every 20th row."}
    )
    eval_split: str = field(default="validation", metadata={"help": "Split to evaluate on."})
    eval_data: str | None = field(
        default=None,
        metadata={
            "help": "Dataset with the evaluation split, if not --data. It needs the same columns and no other classes."
        },
    )
    max_train_samples: int | None = field(
        default=None,
        metadata={
            "help": "Train on N images only, with every class, chosen by --seed. Default: all.",
            "old_names": ["--train_size"],
            "at_least": 1,
        },
    )
    max_eval_samples: int | None = field(
        default=None,
        metadata={
            "help": "Evaluate on N images only, with every class, chosen by --seed. Default: all.",
            "old_names": ["--eval_size"],
            "at_least": 1,
        },
    )
    mask_fraction: float = field(
        default=1.0,
        metadata={"help": "Use the masks of this fraction of the images only, evenly spread over the rows."},
    )
    image_column: str = field(default="image", metadata={"help": "Column with the images."})
    label_column: str = field(
        default="label", metadata={"help": "Column with the classes. Lists: several labels per image."}
    )
    mask_column: str | None = field(
        default="mask", metadata={"help": "Column with the masks or boxes; 'none' to train without masks."}
    )
    mask_encoding: MaskEncoding | None = field(
        default=None,
        metadata={
            "help": "Encoding of the masks. Default: binary; class_id for the built-in images. binary: one value "
            "besides 0, where the image's class is; class_id: class index + 1, 0 for background, 65535 for unknown; "
            "imagenet_s: R + 256 G = class index + 1, 1000 for unknown; box: [x0, y0, x1, y1] in pixels, x1 and y1 "
            "exclusive; polygon: as in COCO."
        },
    )
    eval_mask_encoding: Literal["binary", "class_id", "imagenet_s", "box", "polygon", "none"] | None = field(
        default=None,
        metadata={
            "help": "Encoding of the masks of the evaluation split, none to leave them out. Default: --mask_encoding."
        },
    )
    mask_data: str | None = field(
        default=None,
        metadata={
            "help": "Second, small dataset of images with masks, with the same classes and columns. Default: none."
        },
    )
    mask_rate: float | None = field(
        default=None,
        metadata={
            "help": "With --mask_data: share of an epoch that comes from it. Default: 0.1. Without it: repeat the "
            "images with masks until repeats are this share of an epoch. Default: no repeats."
        },
    )
    on_bad_sample: OnBadSample = field(
        default="raise",
        metadata={
            "help": "What to do with a row or shard that cannot be read: raise an error, or skip, count and report it."
        },
    )
    cache_images: Literal["auto", "always", "never"] = field(
        default="auto",
        metadata={
            "help": "Keep decoded images in memory that all loading processes share. auto: if they take less than a "
            "quarter of the free memory; the start of a run says how much they take."
        },
    )
    min_crop_scale: float = field(
        default=0.35, metadata={"help": "Smallest fraction of the image area that a random crop keeps."}
    )
    crop_padding: int = field(
        default=0,
        metadata={
            "help": "Instead of a random part, take the whole image, moved by at most N pixels in each direction; for "
            "small images. 0 disables it."
        },
    )
    mosaics: float = field(
        default=0.0,
        metadata={
            "help": "Number of mosaics (four images with masks in one) added to a batch, as a share of its images with "
            "masks. They make the maps class-dependent."
        },
    )
    mixup: float = field(default=0.0, metadata={"help": "Alpha of MixUp; 0 disables it."})
    cutmix: float = field(default=0.0, metadata={"help": "Alpha of CutMix; 0 disables it."})
    mixing_rate: float = field(default=1.0, metadata={"help": "Share of the batches that get MixUp or CutMix."})
    rand_augment: int = field(
        default=0, metadata={"help": "Magnitude of RandAugment, 0 (disabled) to 30. A common value is 9."}
    )
    auto_augment: bool = field(default=False, metadata={"help": "Apply AutoAugment's policy for ImageNet."})
    colour_jitter: float = field(
        default=0.3, metadata={"help": "Largest relative change of brightness, contrast and saturation; 0 disables it."}
    )
    random_erasing: float = field(
        default=0.0,
        metadata={"help": "Probability that a rectangle of an image gets the mean colour. No class is there."},
    )
    repeated_augmentation: int = field(
        default=1,
        metadata={
            "help": "Show each image N times in succession, augmented differently; an epoch has 1 / N of the images.",
            "at_least": 1,
        },
    )

    def __post_init__(self) -> None:
        self.mask_column = plain_name(self.mask_column)
        encoding = self.mask_encoding or ("class_id" if self.data == "synthetic" else "binary")
        self.masks: MaskFormat = self.mask_format(encoding)
        self.eval_masks = self.masks
        if self.eval_mask_encoding is not None and self.eval_mask_encoding != "none":
            self.eval_masks = self.masks.with_encoding(self.eval_mask_encoding)
        if self.mask_data and self.mask_rate is None:
            self.mask_rate = 0.1

    @property
    def columns(self) -> Columns:
        return Columns(self.image_column, self.label_column, self.mask_column)


# Former names of values in the logs, which configs may still have.
RENAMED_METRICS = {
    "energy_inside": "energy_pointing_game",
    "eval_energy_inside": "eval_energy_pointing_game",
}


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
    ema_decay: float = field(
        default=0.0,
        metadata={
            "help": "Decay per step of the exponential moving average of the weights, which is evaluated and saved; 0 "
            "disables it."
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
    overlays: int = field(
        default=8,
        metadata={"help": "Number of evaluation images whose PM-ViT maps are drawn after each evaluation; 0 for none."},
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
        if self.metric_for_best_model in RENAMED_METRICS:
            self.metric_for_best_model = RENAMED_METRICS[self.metric_for_best_model]
        if self.num_train_epochs <= 0 and self.max_steps <= 0:
            raise InputError(f"--num_train_epochs must be above 0, got {self.num_train_epochs:g}.")
        on_gpu = torch.cuda.is_available() and not self.use_cpu
        for name, value in device_defaults(on_gpu, bool(self.fp16)).items():
            if getattr(self, name) is None:
                setattr(self, name, value)
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


def parse_arguments(
    arguments: Sequence[str] | None = None, command: str | None = None, description: str | None = None
) -> tuple[ModelArguments, DataArguments, PMViTTrainingArguments]:
    """
    Arguments from `[CONFIG.yaml] [--option value ...]`; an option overrides the file.

    Args:
        arguments: of the command line; by default those of this process.
        command, description: for `--help`.

    Raises:
        InputError: if an option or a key of the file does not exist, or has a wrong value.
        NotFoundError: if there is no such file.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for place, word in enumerate(words):
        if word in RESUME and (place + 1 == len(words) or words[place + 1].startswith("--")):
            words.insert(place + 1, LAST)
    parser = ArgumentParser(
        ModelArguments,
        DataArguments,
        PMViTTrainingArguments,
        command=command,
        description=description,
        usage_first="[CONFIG.yaml]",
    )
    if words and words[0].endswith((".yaml", ".yml")):
        words = _options_of(Path(words[0]), parser) + words[1:]
    model, data, training = parser.parse(words)
    return model, data, training


def _options_of(file: Path, parser: ArgumentParser) -> list[str]:
    """The settings of a YAML file as options."""
    if not file.is_file():
        raise NotFoundError(f"there is no file {file}.")
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file} must hold settings, 'name: value' in each line.")
    known = {name for action in parser._actions for name in action.option_strings}
    unknown = sorted(key for key in map(str, settings) if f"--{key}" not in known)
    if unknown:
        raise InputError(f"{file}: there is no setting {', '.join(unknown)}; `pm-vit train --help` lists them.")
    options = []
    for key, value in settings.items():
        values = value if isinstance(value, list) else [value]
        options += [f"--{key}", *map(str, values)] if value is not None else []
    return options
