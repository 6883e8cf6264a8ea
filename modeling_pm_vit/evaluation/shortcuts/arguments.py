"""The options of `pm-vit shortcuts`."""

from dataclasses import dataclass
from pathlib import Path

from ...explainers.registry import EXPLAINERS
from ...utils.arguments import device_option, option, require_device
from ...utils.threads import threads_option
from ..data_arguments import DataOptions

_SPEED = "speed"


@dataclass(kw_only=True)
class ShortcutArguments(DataOptions):
    """Which images of which model to check: see `pm-vit shortcuts --help`."""

    model: str = option(help="Folder or Hub id of a PM-ViT.", positional=True)
    output_dir: Path | None = option(
        None, help="Folder of the report. Default: runs/shortcuts/NAME, with the name of the model."
    )
    explainer: str = option(
        "relevance",
        help="Explainer that tells by what the model recognised the image, which its map does not: the map tells where "
        "the class is.",
        choices=EXPLAINERS,
        metavar="NAME",
    )
    examples: int = option(4, at_least=1, help="Pictures of each class: those with the most evidence off the object.")
    max_samples: int | None = option(
        None, at_least=1, help="Check N images, drawn at random. Default: all; 1,000 of the built-in images."
    )
    seed: int = option(0, help="Seed of the choice of images.")
    batch_size: int = option(16, at_least=1, help="Images in a batch.", group=_SPEED)
    num_threads: int | None = threads_option(_SPEED)
    device: str = device_option(_SPEED)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_device(self.device)

    @property
    def folder(self) -> Path:
        """Where the report is written."""
        return self.output_dir or Path("runs") / "shortcuts" / Path(self.model).name
