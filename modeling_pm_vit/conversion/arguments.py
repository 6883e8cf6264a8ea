"""The options of `pm-vit convert`."""

from dataclasses import dataclass
from pathlib import Path

from ..backbone_pm_vit import Pooling
from ..utils.arguments import option
from ..utils.errors import InputError
from ..utils.names import listed_names

_CLASSES = "classes"


@dataclass
class ConvertArguments:
    """
    What to convert: see `pm-vit convert --help`.

    Raises:
        InputError: if options contradict one another.
        NotFoundError: if there is no such file of class names.
    """

    source: str = option(
        help="Folder or Hub id of transformers (ViT, DINOv2) or timm, or the name of a timm model.", positional=True
    )
    output_dir: Path = option(help="Folder to write.", old_names=["--output"], old_position=True)
    image_size: list[int] = option(
        default_factory=list,
        at_least=1,
        help="Height and width of the model's input in pixels, or one number for both. Default: the source's.",
    )
    pooling: Pooling | None = option(
        None,
        help="What a new classifier reads: the class token (cls), the mean of the patches (mean), so that the map adds "
        "up to the logit, or both (cls_mean). Default: what the source's family reads.",
        group=_CLASSES,
    )
    force: bool = option(False, help="Write into the folder although it is not empty.")
    labels: list[str] = option(
        default_factory=list,
        help="Class names, or one .txt file with a name per line, in the order of the classes. Default: the source's.",
        metavar="NAME",
        group=_CLASSES,
    )
    num_labels: int | None = option(
        None, at_least=1, help="Number of classes, where they have no names.", group=_CLASSES
    )
    seed: int = option(0, help="Seed of a new classifier.", group=_CLASSES)

    def __post_init__(self) -> None:
        if self.labels and self.num_labels is not None:
            raise InputError("give --labels or --num_labels, not both.")
        if len(self.image_size) > 2:
            raise InputError("--image_size takes one number, or height and width.")
        self.labels = listed_names(self.labels, "--labels")
