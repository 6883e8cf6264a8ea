"""The options of `pm-vit pseudo-masks`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..data.arguments import ClassOptions
from ..data.columns import Columns
from ..utils.arguments import device_option, option, plain_name, require_device
from ..utils.errors import InputError
from ..utils.threads import threads_option
from .features import FeatureKind

MethodName = Literal["tokencut", "self", "image-segmentation", "mask-generation"]

_DATA, _SPEED = "data", "speed"
_VIT, _TOKENCUT = "methods tokencut and self", "method tokencut"
_SELF, _SEGMENTATION = "method self", "method image-segmentation"


@dataclass
class PseudoMaskArguments(ClassOptions):
    """
    Of which images to make masks, and how: see `pm-vit pseudo-masks --help`.

    Raises:
        InputError: if the method is unknown, or the split is no plain name.
    """

    data: str = option(help="Labelled images: a folder, a Hub id, or 'synthetic' (built in).", group=_DATA)
    model: str = option(help="Folder or Hub id of the model that the method uses.")
    output_dir: Path = option(help="Folder of the parquet files, for `pm-vit train --data`.", old_names=["--output"])
    method: MethodName = option(
        "tokencut",
        help="tokencut: normalised cut of a ViT's patch features; self: a PM-ViT's own maps of the images' classes; "
        "image-segmentation, mask-generation: a segmentation model of transformers.",
    )
    min_score: float = option(0.0, help="Leave out masks with a lower score.")
    split: str = option("train", help="Split to read; also the name of the files.", group=_DATA)
    max_samples: int | None = option(
        None, at_least=1, help="Only N images, with every class. Default: all.", group=_DATA, old_names=["--size"]
    )
    streaming: bool = option(False, help="Stream parquet files without a local copy.", group=_DATA)
    image_column: str = option("image", help="Column with the images.", group=_DATA)
    label_column: str = option("label", help="Column with the classes.", group=_DATA)
    box_column: str | None = option(
        None,
        help="Column with true boxes [x0, y0, x1, y1]: print how well the masks match them. They are used for nothing "
        "else.",
        none=True,
        group=_DATA,
        old_names=["--judge-boxes"],
    )
    image_size: int | None = option(
        None, at_least=1, help="Height and width in pixels that the model sees. Default: the model's own.", group=_VIT
    )
    features: FeatureKind = option("key", help="Features that are compared.", group=_TOKENCUT)
    layer: int = option(
        -1, help="Layer of the features, counted from 0, or from the end (-1: the last).", group=_TOKENCUT
    )
    tau: float | None = option(
        None, help="Similarity that connects two patches. Default: chosen for each image (Otsu).", group=_TOKENCUT
    )
    refine: bool = option(False, help="Fit the masks to the edges of the photographs.", group=_TOKENCUT)
    threshold: float = option(
        0.5, at_least=0, at_most=1, help="Probability from which a pixel belongs to the mask.", group=_SELF
    )
    segment_labels: list[str] = option(
        default_factory=list,
        help="Unite the segments with these labels. Default: the segments named like the image's class.",
        metavar="NAME",
        group=_SEGMENTATION,
    )
    rows_per_shard: int = option(500, at_least=1, help="Rows in a parquet file.", group=_SPEED)
    batch_size: int = option(16, at_least=1, help="Images in a batch.", group=_SPEED)
    num_workers: int = option(2, at_least=1, help="Threads that decode images.", group=_SPEED, old_names=["--workers"])
    num_threads: int | None = threads_option(_SPEED)
    device: str = device_option(_SPEED)

    def __post_init__(self) -> None:
        require_device(self.device)
        self.box_column = plain_name(self.box_column)
        methods = get_args(MethodName)
        if self.method not in methods:
            raise InputError(f"there is no method {self.method!r}; there are {', '.join(methods)}.")
        if not self.split.replace("_", "").replace("-", "").isalnum():
            raise InputError(f"the split names the files: it must be a plain name, got {self.split!r}.")

    @property
    def columns(self) -> Columns:
        """Of the source. Its masks, if it has any, are not used."""
        return Columns(self.image_column, self.label_column, None)

    @property
    def generated(self) -> int | None:
        """How many images are made, if they are the built-in ones."""
        return self.max_samples if self.data == "synthetic" else None
