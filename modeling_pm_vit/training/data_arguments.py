"""The options of a training run that say which images and masks are read, and how they are augmented."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ..data.arguments import DatasetOptions
from ..data.columns import Columns
from ..data.dataset import OnBadSample
from ..data.masks import MaskEncoding, MaskFormat
from ..utils.arguments import plain_name


@dataclass
class DataArguments(DatasetOptions):
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
        metadata={"help": "Use the masks of this fraction of the images of each class only, evenly spread."},
    )
    weak_supervision: Literal["none", "labels", "self_training"] = field(
        default="none",
        metadata={
            "help": "What images without a mask teach the maps, for datasets of one class per image. labels: the class "
            "is on some patches, all other classes are on none. self_training: also where the moving average of the "
            "weights is sure that the class is, or is not. Sets other defaults of --mask_loss_weight, --mosaics, "
            "--mask_rate and --ema_decay.",
        },
    )
    image_column: str = field(default="image", metadata={"help": "Column with the images."})
    label_column: str = field(
        default="label", metadata={"help": "Column with the classes. Lists: several labels per image."}
    )
    group_column: str | None = field(
        default=None,
        metadata={
            "help": "Column that says which images belong together, such as those of a patient or a lesion: parts of a "
            "split (train[!0/5], --folds) divide groups, and a group on both sides is refused. Default: none."
        },
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
            "images with masks until repeats are this share of an epoch. Default: no repeats; with --weak_supervision "
            "1/32 if fewer images have a mask."
        },
    )
    class_weights: list[str] = field(
        default_factory=lambda: ["none"],
        metadata={
            "help": "Weights of the classes in the classification loss: none, balanced (inverse to their number of "
            "images), or NAME=WEIGHT for some of them, the others 1. Default: none."
        },
    )
    balanced_sampling: bool = field(
        default=False,
        metadata={
            "help": "Show each class equally often: an epoch has as many images as without, those of rare classes come "
            "several times."
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
    mosaics: float | None = field(
        default=None,
        metadata={
            "help": "Number of mosaics (four images with masks in one) added to a batch, as a share of its images with "
            "masks. They make the maps class-dependent. Default: 0; with --weak_supervision 0.25 of all images."
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
        self.mask_column, self.group_column = plain_name(self.mask_column), plain_name(self.group_column)
        encoding = self.mask_encoding or ("class_id" if self.data == "synthetic" else "binary")
        self.masks: MaskFormat = self.mask_format(encoding)
        self.eval_masks = self.masks
        if self.eval_mask_encoding is not None and self.eval_mask_encoding != "none":
            self.eval_masks = self.masks.with_encoding(self.eval_mask_encoding)
        if self.mask_data and self.mask_rate is None:
            self.mask_rate = 0.1
        if self.mosaics is None:
            self.mosaics = 0.25 if self.is_weak else 0.0

    @property
    def is_weak(self) -> bool:
        """Whether images without a mask add to the mask loss."""
        return self.weak_supervision != "none"

    @property
    def columns(self) -> Columns:
        return Columns(self.image_column, self.label_column, self.mask_column)
