"""Options of the commands that read datasets, and those of `pm-vit compose-scenes` and `pm-vit prepare-imagenet-s`."""

from dataclasses import dataclass
from pathlib import Path

from ..utils.arguments import option
from ..utils.names import listed_names
from .imagenet_s_parquet import SPLITS
from .mask_values import value_ranges
from .masks import MaskEncoding, MaskFormat


@dataclass(kw_only=True)
class ClassOptions:
    """What the classes of a dataset are: the same options in all commands that read labels."""

    class_names: list[str] = option(
        default_factory=list,
        help="Names of the classes in the order in which integer labels and masks number them, or one .txt file with a "
        "name per line. Default: as stored, integers as numbers, texts sorted.",
        metavar="NAME",
        group="data",
    )
    empty_classes: list[str] = option(
        default_factory=list,
        help="Classes without an object, such as normal: nothing is to be found in their images, which need no mask.",
        metavar="NAME",
        group="data",
    )

    @property
    def names(self) -> list[str]:
        """
        The class names that are given, read from the file if there is one.

        Raises:
            NotFoundError: if there is no such file.
            InputError: if a name comes twice.
        """
        return listed_names(self.class_names, "--class_names")


@dataclass(kw_only=True)
class MaskOptions(ClassOptions):
    """How masks are read: the same options in all commands that read them."""

    mask_foreground: list[str] = option(
        default_factory=list,
        help="Binary masks: values of the object, such as 1 or 128-255. Default: the only value besides 0.",
        metavar="VALUE",
        group="data",
    )
    mask_ignore: list[str] = option(
        default_factory=list,
        help="Mask images: further values that mark unknown pixels, such as 255. Default: none.",
        metavar="VALUE",
        group="data",
    )

    def mask_format(self, encoding: MaskEncoding) -> MaskFormat:
        """
        Raises:
            InputError: if a value is no number, or an option does not fit the encoding.
        """
        foreground = value_ranges(self.mask_foreground, "--mask_foreground") or None
        return MaskFormat(encoding, foreground, value_ranges(self.mask_ignore, "--mask_ignore"))


@dataclass(kw_only=True)
class DatasetOptions(MaskOptions):
    """Which classes of a dataset are used: the same options in training, evaluation and calibration."""

    leave_out_classes: list[str] = option(
        default_factory=list,
        help="Classes whose images are left out, such as one that a model is not to know.",
        metavar="NAME",
        group="data",
    )


@dataclass
class SceneArguments(MaskOptions):
    """Which scenes to compose: see `pm-vit compose-scenes --help`."""

    objects: str = option(help="Dataset of photographs that show one object each, with its mask.", group="data")
    backgrounds: str = option(help="Dataset of photographs, the backgrounds.", group="data")
    output_dir: Path = option(help="Folder to write.", old_names=["--output"])
    split: str = option("train", help="Split of both datasets; also the name of the file.", group="data")
    image_column: str = option("image", help="Column with the images, of both datasets.", group="data")
    label_column: str = option("label", help="Column with the classes of the objects.", group="data")
    mask_column: str = option("mask", help="Column with the masks of the objects.", group="data")
    num_scenes: int = option(500, at_least=1, help="Number of scenes.", group="scenes", old_names=["--count"])
    image_size: int = option(
        224, at_least=1, help="Height and width of a scene in pixels.", group="scenes", old_names=["--size"]
    )
    max_objects: int = option(
        3,
        at_least=2,
        help="Largest number of objects in a scene, at least 2.",
        group="scenes",
        old_names=["--most-objects"],
    )
    seed: int = option(0, help="Seed of all random choices.", group="scenes")


@dataclass
class ImageNetSArguments:
    """Which shards to write: see `pm-vit prepare-imagenet-s --help`."""

    imagenet: Path = option(help="Folder with train/ and val/.", positional=True)
    imagenet_s: Path = option(
        help="Folder with train-semi-segmentation/ and validation-segmentation/.", positional=True
    )
    output_dir: Path = option(help="Folder of the parquet files.", old_names=["--output"], old_position=True)
    splits: list[str] = option(default_factory=lambda: list(SPLITS), help="Splits to write.", choices=SPLITS)
    masked_only: bool = option(False, help="Leave out the images without a mask.")
    rows_per_shard: int = option(5000, at_least=1, help="Rows in a parquet file.")
    verify: bool = option(False, help="Check all parquet files against their checksums.")
