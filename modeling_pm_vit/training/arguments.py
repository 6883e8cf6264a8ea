"""What a training run can be told, by flags or by a YAML file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from ..data.dataset import OnBadSample
from ..data.masks import MaskEncoding

LAST = "last"  # as a checkpoint: the last whole one


@dataclass
class ModelArguments:
    model: str | None = field(
        default=None, metadata={"help": "Checkpoint to start from (PM-ViT or stock ViT), a folder or a Hub id."}
    )
    image_size: int = field(default=224, metadata={"help": "Side of the images in pixels."})
    patch_size: int = field(default=16, metadata={"help": "From scratch: side of a patch in pixels."})
    hidden_size: int = field(default=384, metadata={"help": "From scratch: width of the tokens."})
    num_hidden_layers: int = field(default=12, metadata={"help": "From scratch: number of layers."})
    num_attention_heads: int = field(default=6, metadata={"help": "From scratch: number of attention heads."})
    mask_loss_weight: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the mask loss of one image. Default: 1, or 0.25 / (share of the training images with a "
            "mask) where that is more."
        },
    )
    mask_loss_type: Literal["joint", "softmax", "sigmoid"] = field(
        default="joint",
        metadata={
            "help": "A patch is one of the classes or background (softmax), has each on its own (sigmoid), or both."
        },
    )
    frozen_layers: int = field(default=0, metadata={"help": "Keep the embeddings and the first N layers as they are."})


@dataclass
class DataArguments:
    data: str = field(
        default="synthetic",
        metadata={"help": "'synthetic', a folder (imagefolder, or parquet files named after splits), or a Hub id."},
    )
    streaming: bool = field(
        default=False,
        metadata={"help": "Read parquet files where they are, here or remote, without a local copy (tar always is)."},
    )
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str = field(default="validation", metadata={"help": "Split to evaluate on."})
    eval_data: str | None = field(
        default=None, metadata={"help": "Another source of the evaluation split, with the same classes and columns."}
    )
    train_size: int | None = field(default=None, metadata={"help": "Use only so many training images."})
    eval_size: int | None = field(default=None, metadata={"help": "Use only so many evaluation images."})
    mask_fraction: float = field(default=1.0, metadata={"help": "Use the masks of so many of the images only."})
    image_column: str = field(default="image", metadata={"help": "Column of the images."})
    label_column: str = field(default="label", metadata={"help": "Column of the classes."})
    mask_column: str | None = field(default="mask", metadata={"help": "Column of the masks or boxes; 'none' for none."})
    mask_encoding: MaskEncoding = field(
        default="binary",
        metadata={
            "help": "binary: not 0 where the image's class is; class_id: class index + 1, 0 elsewhere, 65535 unknown; "
            "imagenet_s: R + 256 G, 1000 unknown; box: [x0, y0, x1, y1] in pixels; polygon: as in COCO."
        },
    )
    mask_data: str | None = field(
        default=None, metadata={"help": "A second, small dataset of images with masks, with the same columns."}
    )
    mask_rate: float | None = field(
        default=None,
        metadata={
            "help": "Share of the second dataset's images in an epoch (default: 0.1). Without one: repeat the images "
            "that have masks until so large a share of an epoch is repeats (default: none)."
        },
    )
    on_bad_sample: OnBadSample = field(
        default="raise", metadata={"help": "A row or shard that cannot be used: raise, or skip (counted and reported)."}
    )
    min_crop_scale: float = field(default=0.35, metadata={"help": "Smallest share of an image that a crop keeps."})
    mosaics: float = field(
        default=0.0,
        metadata={"help": "Add mosaics of four images and their masks: how many, as a share of a batch's masks."},
    )
    mixup: float = field(default=0.0, metadata={"help": "Alpha of MixUp; 0 for none."})
    cutmix: float = field(default=0.0, metadata={"help": "Alpha of CutMix; 0 for none."})
    rand_augment: int = field(default=0, metadata={"help": "Magnitude of RandAugment, 0 (none) ... 30; usual is 9."})
    colour_jitter: float = field(
        default=0.3, metadata={"help": "Largest relative change of brightness, contrast and saturation."}
    )

    def __post_init__(self):
        if self.mask_column == "none":
            self.mask_column = None
        if self.mask_data and self.mask_rate is None:
            self.mask_rate = 0.1


@dataclass
class PMViTTrainingArguments(TrainingArguments):
    output_dir: str = field(default="runs/train", metadata={"help": "Folder for checkpoints and the final model."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "The image column makes the inputs: keep it."})
    report_to: list[str] | str | None = field(
        default="tensorboard", metadata={"help": "Where to log: tensorboard, wandb, ..., none."}
    )
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={"help": "Go on from a checkpoint: its folder, or nothing for the last whole one of the output_dir."},
    )
    layer_decay: float | None = field(
        default=None,
        metadata={
            "help": "The learning rate falls by this factor with every layer towards the image. Default: 0.75 where "
            "all layers of a given model learn, which forget what they know without it, else 1."
        },
    )
    ema_decay: float = field(
        default=0.0, metadata={"help": "Evaluate and save averaged weights, with this decay a step; 0 for none."}
    )
    feature_epochs: int = field(
        default=0,
        metadata={
            "help": "With frozen layers: compute them for the batches of the first N epochs only, which then come "
            "again and again; much faster, with N variants of each image. 0 for new ones in every epoch."
        },
    )
    feature_folder: str | None = field(
        default=None,
        metadata={"help": "Where to keep what the frozen layers gave, for other runs too. Default: in the output_dir."},
    )
    overlays: int = field(default=8, metadata={"help": "Show what the model sees in so many evaluation images."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps, epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save a checkpoint: no, steps, epoch."})
    save_total_limit: int | None = field(default=1, metadata={"help": "How many checkpoints to keep."})
    dataloader_pin_memory: bool = field(
        default_factory=torch.cuda.is_available, metadata={"help": "Pin memory for faster copies to a GPU."}
    )
    logging_steps: float = field(default=50, metadata={"help": "Log every N steps."})
    learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate."})
    weight_decay: float = field(default=0.05, metadata={"help": "Weight decay."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up, as a share of all steps (or a number)."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Course of the learning rate."})

    def __post_init__(self):
        # Without an accelerator Trainer takes bf16 for a mistake unless the CPU is asked for.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        super().__post_init__()


def parse_arguments(argv: list[str]) -> tuple[ModelArguments, DataArguments, PMViTTrainingArguments]:
    """
    Arguments from `[CONFIG.yaml] [--flag value ...]`; a flag wins over the file.

    Raises:
        ValueError: if the file holds a key that is no flag.
        FileNotFoundError: if there is no such file.
    """
    flags = list(argv)
    for at, flag in enumerate(flags):
        if flag == "--resume_from_checkpoint" and (at + 1 == len(flags) or flags[at + 1].startswith("--")):
            flags.insert(at + 1, LAST)
    parser = HfArgumentParser((ModelArguments, DataArguments, PMViTTrainingArguments))
    if flags and flags[0].endswith((".yaml", ".yml")):
        settings = yaml.safe_load(Path(flags[0]).read_text(encoding="utf-8")) or {}
        known = {action.dest for action in parser._actions}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ValueError(f"{flags[0]}: {', '.join(unknown)}: no such setting; see --help.")
        from_file = []
        for key, value in settings.items():
            values = value if isinstance(value, list) else [value]
            from_file += [f"--{key}", *map(str, values)] if value is not None else []
        flags = from_file + flags[1:]
    return parser.parse_args_into_dataclasses(flags)
