"""Which images an evaluation or a calibration reads: the same options in both commands."""

from dataclasses import dataclass
from pathlib import Path

from ..data.arguments import DatasetOptions
from ..data.columns import Columns
from ..data.layouts import LAYOUTS
from ..data.masks import MaskEncoding
from ..utils.arguments import option, plain_name

_DATA = "data"


@dataclass(kw_only=True)
class DataOptions(DatasetOptions):
    """A labelled dataset, and how its masks are read."""

    data: str = option(
        "synthetic", help="'synthetic' (built in), a folder, or a Hub id; with --layout a folder.", group=_DATA
    )
    layout: str | None = option(
        None,
        help=f"--data is a folder in the official layout of this dataset: {', '.join(LAYOUTS)}.",
        choices=LAYOUTS,
        metavar="NAME",
        group=_DATA,
    )
    split: str = option("test", help="Split to evaluate on.", group=_DATA)
    image_column: str = option("image", help="Column with the images.", group=_DATA)
    label_column: str = option("label", help="Column with the classes.", group=_DATA)
    group_column: str | None = option(
        None,
        help="Column that says which images belong together, as in training: a part of a split, as in train[0/5], then "
        "has whole groups.",
        none=True,
        group=_DATA,
    )
    mask_column: str | None = option(
        "mask", help="Column with the masks or boxes; 'none' if there is none.", none=True, group=_DATA
    )
    box_column: str | None = option(
        None,
        help="Column with true boxes [x0, y0, x1, y1]. Default: boxes around the masks.",
        none=True,
        group=_DATA,
    )
    mask_encoding: MaskEncoding | None = option(
        None,
        help="Encoding of the masks, as in training. Default: binary; class_id for the built-in images.",
        group=_DATA,
    )
    class_order: Path | None = option(
        None,
        help="Text file whose line i begins with the dataset's name of the model's class i, such as "
        "LOC_synset_mapping.txt. Needed where the two use different class names in a different order.",
        group=_DATA,
    )

    def __post_init__(self) -> None:
        self.mask_column, self.box_column = plain_name(self.mask_column), plain_name(self.box_column)

    @property
    def columns(self) -> Columns:
        return Columns(self.image_column, self.label_column, self.mask_column, self.box_column)
